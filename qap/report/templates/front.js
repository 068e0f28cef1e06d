// The front: scores against costs, with a tooltip beside the nearest point and axes that can be chosen.
const REACH = 22;

const hasBoth = (point, x, y) => point.cost[x.name] !== undefined && point.scores[y.name] !== undefined;
const ends = (found) => [found[1] ?? found[0], found[2] ?? found[0]];
const listed = (found) => (Array.isArray(found) ? found : [found]);

/** Axes that hold every front with its bands and the references; points that were only tried may lie outside. */
function windowOf(all, faint, x, y) {
  const series = all.filter((one) => one.points.length);
  const shown = series.flatMap((one) => one.points);
  const heights = shown.flatMap((point) => ends(point.scores[y.name]));
  for (const one of series) if (one.reference?.[y.name]) heights.push(...ends(one.reference[y.name]));
  const [low, high] = [Math.min(...heights), Math.max(...heights)];
  const margin = 0.06 * (high - low) || 0.01 * Math.abs(high) || 0.01;
  const close = faint.filter((point) => point.scores[y.name] >= low - margin && point.scores[y.name] <= high + margin);
  const costs = [...shown, ...close].map((point) => listed(point.cost[x.name]));
  const spread = shown.flatMap((point) => ends(listed(point.cost[x.name]))).concat(costs.map((found) => found[0]));
  const values = costs.map((found) => found[0]);
  const log = Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) > 3;
  const least = log ? Math.max(Math.min(...spread), Math.min(...values) / 5) / 1.3 : Math.min(...spread);
  const most = Math.max(...spread);
  const room = 0.06 * (most - least) || 0.1 * Math.abs(most) || 1;
  return {
    y: { low: Math.max(0, low - margin), high: high + margin },
    x: log ? { low: least, high: most * 1.3, log } : { low: least >= 0 ? Math.max(0, least - room) : least - room, high: most + room, log },
  };
}

/** Tell whether a score is near the best float model's: a tenth of it away at most; errors and signal efficiencies, a half. */
function closeTo(series, y) {
  const floats = series.map((one) => one.reference?.[y.name]?.[0]).filter((value) => value !== undefined);
  if (!floats.length) return () => true;
  return (value) => (y.smaller ? value <= 1.5 * Math.min(...floats) : value >= (y.name === "signal_efficiency" ? 0.5 : 0.9) * Math.max(...floats));
}

function drawFront(box, { series, faint, x, y, width, whole, chosen, select, line }) {
  const known = series.map((one) => ({ ...one, points: one.points.filter((point) => hasBoth(point, x, y)) }));
  const close = closeTo(series, y);
  const zoomed = known.map((one) => ({ ...one, points: one.points.filter((point) => close(point.scores[y.name][0])) }));
  const kept = whole || zoomed.flatMap((one) => one.points).length < 2 ? known : zoomed;
  const count = (some) => some.reduce((sum, one) => sum + one.points.length, 0);
  const behind = faint.filter((point) => hasBoth(point, x, y));
  if (!kept.some((one) => one.points.length)) {
    box.replaceChildren(html("p", { class: "faint" }, "No candidate has both figures."));
    return { outside: 0, missing: count(series), hidden: 0 };
  }
  const factor = EFFICIENCIES.includes(y.name) ? 100 : 1;
  const view = windowOf(kept, behind, x, y);
  const plot = framed(
    width, Math.min(Math.max(0.6 * width, 300), 500),
    { ...view.x, label: x.label },
    { low: factor * view.y.low, high: factor * view.y.high, label: `${y.label}${factor > 1 ? " [%]" : ""}` },
    `${y.label} against ${x.label}`,
  );
  const at = (point) => [plot.across(listed(point.cost[x.name])[0]), plot.up(factor * listed(point.scores[y.name])[0])];
  const within = (value, side) => value >= side.low && value <= side.high;
  const inside = behind.filter((point) => within(point.scores[y.name], view.y) && within(point.cost[x.name], view.x));
  const near = [];
  for (const one of kept) drawReference(plot, one.reference?.[y.name], factor, one.colour);
  for (const point of inside) {
    const [a, b] = at(point);
    plot.drawing.append(svg("circle", { class: "tried", cx: a.toFixed(1), cy: b.toFixed(1), r: 2.5 }));
    near.push({ point, a, b, front: false });
  }
  for (const one of kept) {
    if (line) plot.drawing.append(svg("polyline", { class: `front ${one.colour}`, points: one.points.map((point) => at(point).map((value) => value.toFixed(1)).join(",")).join(" ") }));
    for (const point of one.points) {
      const [a, b] = at(point);
      plot.drawing.append(drawPoint(plot, point, one, { a, b, x, y, factor, on: point.id === chosen, select }));
      near.push({ point, a, b, front: true, series: one });
    }
  }
  box.replaceChildren(plot.drawing, tooltip(plot.drawing, near, width, { x, y, select }));
  return { outside: behind.length - inside.length, missing: count(series) - count(known), hidden: count(known) - count(kept) };
}

function drawReference(plot, found, factor, colour) {
  if (!found) return;
  const [low, high] = ends(found).map((value) => plot.up(factor * value));
  const middle = plot.up(factor * found[0]);
  plot.drawing.append(
    svg("rect", { class: "band", x: plot.left, y: high, width: plot.right - plot.left, height: Math.max(low - high, 0) }),
    svg("line", { class: `float ${colour}`, x1: plot.left, x2: plot.right, y1: middle, y2: middle }),
  );
}

function drawPoint(plot, point, one, { a, b, x, y, factor, on, select }) {
  const [low, high] = ends(listed(point.scores[y.name])).map((value) => plot.up(factor * value));
  const [from, to] = ends(listed(point.cost[x.name])).map(plot.across);
  const tall = low - high > 0.5 ? `M${a} ${low}V${high}M${a - 4} ${low}h8M${a - 4} ${high}h8` : "";
  const wide = to - from > 0.5 ? `M${from} ${b}H${to}M${from} ${b - 4}v8M${to} ${b - 4}v8` : "";
  return svg(
    "a",
    {
      href: one.page ? `${one.page}#c-${point.id}` : `#c-${point.id}`, class: on ? "on" : null, "data-id": point.id, "aria-label": tips(point, x, y, true).join("; "),
      click: (event) => { if (select) { event.preventDefault(); event.stopPropagation(); select(point.id); } },
    },
    svg("path", { class: `error ${one.colour}`, d: tall + wide }),
    svg("circle", { class: `point ${one.colour}`, cx: a, cy: b, r: on ? 7 : 5 }),
  );
}

/** The lines beside a point: what it is, its two figures, its plan. */
function tips(point, x, y, front) {
  const fractions = EFFICIENCIES.includes(y.name);
  return [
    `${point.id}  ${point.architecture ?? ""}`,
    `${y.label}: ${score(listed(point.scores[y.name]), fractions)}${front ? "" : ", validation"}`,
    `${x.label}: ${withBand(listed(point.cost[x.name]), number)}`,
    ...(point.plan ?? []),
  ];
}

function tooltip(drawing, near, width, { x, y, select }) {
  const tip = html("div", { class: "tip", role: "tooltip", hidden: "" });
  const nearest = (event) => {
    const box = drawing.getBoundingClientRect();
    const unit = width / box.width;
    const [a, b] = [(event.clientX - box.left) * unit, (event.clientY - box.top) * unit];
    let found = null;
    for (const one of near) {
      const away = Math.hypot(one.a - a, one.b - b) - (one.front ? 8 : 0);
      if (away < REACH * unit && (found === null || away < found.away)) found = { ...one, away };
    }
    return found;
  };
  const show = (found) => {
    tip.hidden = found === null;
    if (found === null) return;
    const name = found.series?.title ? [found.series.title] : [];
    tip.replaceChildren(...[...name, ...tips(found.point, x, y, found.front)].map((text) => html("div", {}, text)));
    const share = found.a / width;
    tip.style.left = share < 0.55 ? `${100 * share}%` : "auto";
    tip.style.right = share < 0.55 ? "auto" : `${100 * (1 - share)}%`;
    tip.style.top = `${(100 * found.b) / drawing.viewBox.baseVal.height}%`;
  };
  drawing.addEventListener("pointermove", (event) => show(nearest(event)));
  drawing.addEventListener("pointerleave", () => show(null));
  drawing.addEventListener("focusin", (event) => {
    const id = event.target.closest("a")?.dataset.id;
    show(near.find((one) => one.front && one.point.id === id) ?? null);
  });
  drawing.addEventListener("focusout", () => show(null));
  drawing.addEventListener("click", (event) => {
    const found = nearest(event);
    if (found && select) { event.preventDefault(); select(found.point.id); }
  });
  return tip;
}

/** Say what the axes leave out. */
function omitted({ missing, hidden }) {
  const said = [];
  if (hidden) said.push(`${number(hidden)} of the front are far from the float model: tick “whole front” to see them.`);
  if (missing) said.push(`${number(missing)} of the front have no such figure.`);
  return said.join(" ");
}

/** Fill the two menus with axes. */
function menus(axes, change) {
  document.getElementById("whole").addEventListener("change", change);
  for (const side of ["x", "y"]) {
    const menu = document.getElementById(`axis-${side}`);
    menu.replaceChildren(...axes[side].map((axis) => html("option", { value: axis.name }, axis.label)));
    menu.addEventListener("change", change);
  }
}

const chosenAxis = (axes, side) => axes[side].find((axis) => axis.name === document.getElementById(`axis-${side}`).value);

// Axes: a scale from data to drawing units, and a framed drawing with ticks.
function scale(low, high, start, end, log = false) {
  const place = log ? Math.log10 : (value) => value;
  const [from, to] = [place(low), place(high)];
  const found = (value) => start + ((place(Math.min(Math.max(value, low), high)) - from) / (to - from)) * (end - start);
  found.ticks = () => (log ? decades(low, high) : rounds(low, high));
  return found;
}

function decades(low, high) {
  const steps = high / low < 300 ? [1, 2, 5] : [1];
  const values = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    values.push(...steps.map((step) => Number(`${step}e${power}`)));
  }
  const inside = values.filter((value) => value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9));
  return inside.length > 1 ? inside : rounds(low, high);
}

function rounds(low, high, wanted = 5) {
  const rough = (high - low) / wanted;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((value) => value >= rough * (1 - 1e-9));
  const values = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-9) + 1e-12; i += 1) {
    values.push(Number((i * step).toPrecision(12)));
  }
  return values;
}

/** A frame with grid, tick labels and axis labels; `x` and `y` are {low, high, log, label, text}. */
function framed(width, height, x, y, title) {
  const [left, right, top, bottom] = [66, width - 12, 12, height - 44];
  const across = scale(x.low, x.high, left, right, x.log);
  const up = scale(y.low, y.high, bottom, top, y.log);
  const [textX, textY] = [x.text ?? number, y.text ?? number];
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  let free = 0; // where the last label ends: the next one must not run into it
  for (const value of across.ticks()) {
    const half = 3.6 * textX(value).length;
    const room = across(value) - half > free;
    if (room) free = across(value) + half + 4;
    drawing.append(
      svg("line", { class: "grid", x1: across(value), x2: across(value), y1: top, y2: bottom }),
      room ? svg("text", { x: across(value), y: bottom + 17, "text-anchor": "middle" }, textX(value)) : "",
    );
  }
  for (const value of up.ticks()) {
    drawing.append(
      svg("line", { class: "grid", x1: left, x2: right, y1: up(value), y2: up(value) }),
      svg("text", { x: left - 7, y: up(value) + 4, "text-anchor": "end" }, textY(value)),
    );
  }
  drawing.append(
    svg("rect", { class: "frame", x: left, y: top, width: right - left, height: bottom - top }),
    svg("text", { class: "label", x: right, y: height - 6, "text-anchor": "end" }, x.label),
    svg("text", { class: "label", transform: `translate(14,${top}) rotate(-90)`, "text-anchor": "end" }, y.label),
  );
  return { drawing, across, up, left, right, top, bottom };
}

const points = (xs, ys, across, up) => xs.map((x, i) => `${across(x).toFixed(1)},${up(ys[i]).toFixed(1)}`).join(" ");

/** Undo the differences in which curves are kept. */
function summed(steps) {
  let sum = 0;
  return steps.map((step) => (sum += step));
}

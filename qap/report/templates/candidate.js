// What is known of one candidate, panel by panel. Each function returns an element, or null where there is nothing to show.
const panel = (title, ...content) => html("section", { class: "panel" }, html("h4", {}, title), ...content);
const note = (text) => html("p", { class: "faint" }, text);
const PANEL = 480;

function bar(share, text, mark = null) {
  const width = `${Math.min(Math.max(100 * share, 0), 100).toFixed(1)}%`;
  const tick = mark === null ? null : html("i", { style: `left:${(100 * mark).toFixed(1)}%` });
  return html("span", { class: "meter" }, html("span", { class: "track" }, html("span", { style: `width:${width}` }), tick), html("b", {}, text));
}

function layersPanel(one) {
  const most = Math.max(8, ...one.layers.flatMap((layer) => layer.bits.map((bits) => bits ?? 0)));
  const rows = one.layers.map((layer) => html(
    "tr", {}, html("td", {}, layer.name),
    html("td", {}, bar(layer.bits[0] / most, String(layer.bits[0]))),
    html("td", {}, layer.bits[1] === null ? "–" : bar(layer.bits[1] / most, String(layer.bits[1]))),
    html("td", {}, bar(layer.zero, percent(layer.zero, 1), layer.asked)),
  ));
  const head = ["layer", "weight bits", "activation bits", "zero weights"].map((text) => html("th", {}, text));
  return panel(
    "Bits and zero weights by layer",
    html("div", { class: "wide" }, html("table", { class: "bars" }, html("thead", {}, html("tr", {}, head)), html("tbody", {}, rows))),
    note("Zero: quantized weights that are zero, by the mask or by rounding. Tick: what the plan asks the mask to remove."),
  );
}

/** Horizontal bars with bands on one axis; rows are {label, found: [value, low, high], limit}. */
function bands(rows, axis, title) {
  const [left, row] = [118, 30];
  const height = rows.length * row + 42;
  const across = scale(0, axis.high, left, PANEL - 16);
  const drawing = svg("svg", { viewBox: `0 0 ${PANEL} ${height}`, role: "img", "aria-label": title });
  for (const value of across.ticks()) {
    drawing.append(
      svg("line", { class: "grid", x1: across(value), x2: across(value), y1: 4, y2: height - 38 }),
      svg("text", { x: across(value), y: height - 22, "text-anchor": "middle" }, axis.text(value)),
    );
  }
  rows.forEach(({ label, found, limit, light }, i) => {
    const [middle, [low, high]] = [i * row + row / 2 + 2, ends(found).map(across)];
    drawing.append(
      svg("text", { class: "label", x: left - 8, y: middle + 4, "text-anchor": "end" }, label),
      svg("rect", { class: light ? "fill light" : "fill", x: left, y: middle - 8, width: Math.max(across(found[0]) - left, 0.8), height: 16 }),
    );
    if (high - low > 0.5) drawing.append(svg("path", { class: "whisker", d: `M${low} ${middle}H${high}M${low} ${middle - 5}v10M${high} ${middle - 5}v10` }));
    if (limit !== undefined && limit <= axis.high) drawing.append(svg("line", { class: "limit", x1: across(limit), x2: across(limit), y1: middle - 13, y2: middle + 13 }));
  });
  drawing.append(svg("text", { class: "label", x: PANEL - 16, y: height - 5, "text-anchor": "end" }, axis.label));
  return drawing;
}

function remarksOf(one, data) {
  return (one.remarks ?? []).map((index) => html("p", { class: "faint" }, data.remarks[index]));
}

function resourcesPanel(one, data) {
  const names = ["LUT", "FF", "DSP", "BRAM_18K"].filter((name) => one.cost[name] !== undefined);
  if (!names.length) {
    return panel("Resources", html("p", {}, html("b", {}, "No number for LUT, FF, DSP and BRAM: "), "there is no estimate for this firmware."), remarksOf(one, data));
  }
  if (!data.part) return panel("Resources", note("The FPGA is not in the list of parts, so there are no shares of it; the figures are in the table below."));
  const rows = names.flatMap((name) => [[name, name, false], [`${name}_post_synthesis`, "after synthesis", true]])
    .filter(([name]) => one.cost[name] !== undefined)
    .map(([name, label, light]) => ({ label, light, found: one.cost[name].map((value) => value / data.part.resources[name.replace("_post_synthesis", "")]), limit: 1 }))
    .filter((row) => Number.isFinite(row.found[0]));
  const high = Math.max(0.001, ...rows.flatMap((row) => ends(row.found))) * 1.06;
  const text = (value) => `${Number((100 * value).toPrecision(3))} %`;
  const words = names.map((name) => `${name} ${withBand(one.cost[name], number)}`).join(", ");
  return panel(
    `Resources, share of ${data.part.name}`, bands(rows, { high, text, label: "share of the part" }, "Resources as a share of the part"),
    note(`Csynth-equivalent estimates with their bands: ${words}.${high > 1 ? " Red: the whole part." : ""}`),
  );
}

function timingPanel(one, data) {
  const crossing = data.timing?.bunch_crossing_ns ?? 25;
  const inCrossings = (found, unit) => found.map((value) => (value * unit) / crossing);
  const rows = [];
  const limit = data.timing?.latency_ns ? data.timing.latency_ns / crossing : undefined;
  if (one.cost.latency_ns) rows.push({ label: "latency", found: inCrossings(one.cost.latency_ns, 1), limit });
  if (data.timing && one.cost.latency_cycles_rtl) rows.push({ label: "latency, RTL", found: inCrossings(one.cost.latency_cycles_rtl, data.timing.clock_ns), limit });
  const every = data.timing?.time_multiplexing;
  if (data.timing && one.cost.II) rows.push({ label: "interval", found: inCrossings(one.cost.II, data.timing.clock_ns), limit: every });
  if (data.timing && one.cost.II_rtl) rows.push({ label: "interval, RTL", found: inCrossings(one.cost.II_rtl, data.timing.clock_ns), limit: every });
  if (!rows.length) return panel("Timing", html("p", {}, html("b", {}, "No number for latency and interval: "), "there is no estimate for this firmware."), remarksOf(one, data));
  const high = Math.max(1, ...rows.flatMap((row) => [...ends(row.found), row.limit ?? 0])) * 1.06;
  const said = data.timing
    ? `Red: what the trigger grants${limit === undefined ? " (no limit on the latency was named)" : ` (latency ${number(data.timing.latency_ns)} ns)`}; an event every ${every > 1 ? `${every} bunch crossings` : "bunch crossing"}. Clock ${number(data.timing.clock_ns)} ns.`
    : "The report names no budget.";
  return panel("Timing, in bunch crossings", bands(rows, { high, text: number, label: `bunch crossings of ${number(crossing)} ns` }, "Timing in bunch crossings"), note(said));
}

function keyOf(classes, areas, floats) {
  return html("ul", { class: "curves" }, areas.map((area, k) => html(
    "li", {}, svg("svg", { viewBox: "0 0 16 7" }, svg("path", { class: `curve k${k % 10}`, d: "M0 3.5H16" })),
    `${classes[k]} tagger, AUC = ${(100 * area).toFixed(1)} % `, html("small", {}, floats ? `(float ${(100 * floats[k]).toFixed(1)} %)` : ""),
  )));
}

function rocPanel(one, data) {
  if (!one.roc) return null;
  const plot = framed(PANEL, 380, { low: 0, high: 1, label: "signal efficiency" }, { low: 1e-3, high: 1, log: true, label: "background efficiency" }, `ROC curves of ${one.id}, the float model dashed`);
  const height = (value) => 10 ** (3 * (value / 1000 - 1));
  const draw = (curves, style) => curves?.forEach(([signal, background], k) => plot.drawing.append(svg("polyline", {
    class: `curve ${style} k${k % 10}`, points: points(summed(signal).map((value) => value / 1000), summed(background).map(height), plot.across, plot.up),
  })));
  draw(data.reference.roc, "dashed");
  draw(one.roc, "");
  return panel("ROC, each class against the rest, test split", plot.drawing, keyOf(data.classes, one.auc, data.reference.auc), note(`Dashed: float ${data.reference.architecture}.`));
}

let cutClass = 0;
function efficiencyPanel(one, data) {
  if (!one.efficiency) return null;
  const box = html("div");
  const draw = () => {
    const plot = framed(PANEL, 340, { low: 0, high: 1, label: `cut on the probability of ${data.classes[cutClass]}` }, { low: 0, high: 1, label: "efficiency" }, "Efficiency by cut");
    const lines = (model, style) => model?.[cutClass]?.forEach((curve, side) => {
      const [cuts, kept] = curve.map(summed);
      plot.drawing.append(svg("polyline", { class: `curve ${style} k${side}`, points: points(cuts.map((cut) => cut / cuts.at(-1)), kept.map((value) => value / 1000), plot.across, plot.up) }));
    });
    lines(data.reference.efficiency, "dashed");
    lines(one.efficiency, "");
    box.replaceChildren(plot.drawing);
  };
  const menu = html("select", { "aria-label": "class", class: "cut-class", change: (event) => { cutClass = Number(event.target.value); draw(); } },
    data.classes.map((name, k) => html("option", { value: k, selected: k === cutClass ? "" : null }, name)));
  draw();
  const key = ["the class", "all other classes"].map((text, k) => html("li", {}, svg("svg", { viewBox: "0 0 16 7" }, svg("path", { class: `curve k${k}`, d: "M0 3.5H16" })), text));
  return panel("Efficiency against the cut", html("label", {}, "class ", menu), box, html("ul", { class: "curves" }, key, html("li", { class: "faint" }, "dashed: float")));
}

function calibrationPanel(one, data) {
  if (!one.calibration) return null;
  const plot = framed(PANEL, 340, { low: 0, high: 1, label: "probability of the predicted class" }, { low: 0, high: 1, label: "fraction right" }, "Reliability diagram");
  const bins = one.calibration.events.length;
  const most = Math.max(...one.calibration.events);
  one.calibration.events.forEach((events, i) => {
    const [from, to, tall] = [plot.across(i / bins), plot.across((i + 1) / bins), (events / most) * 50];
    plot.drawing.append(svg("rect", { class: "fill light", x: from + 1, width: to - from - 2, y: plot.bottom - tall, height: tall }));
  });
  plot.drawing.append(svg("line", { class: "float", x1: plot.across(0), y1: plot.up(0), x2: plot.across(1), y2: plot.up(1) }));
  const draw = (found, style, dots) => {
    if (!found) return;
    const kept = found.accuracy.map((value, i) => [found.confidence[i], value]).filter(([a, b]) => a !== null && b !== null);
    plot.drawing.append(svg("polyline", { class: `curve ${style}`, points: points(kept.map(([a]) => a), kept.map(([, b]) => b), plot.across, plot.up) }));
    if (dots) for (const [a, b] of kept) plot.drawing.append(svg("circle", { class: "point", cx: plot.across(a), cy: plot.up(b), r: 4 }));
  };
  draw(data.reference.calibration, "k1 dashed", false);
  draw(one.calibration, "k0", true);
  const float = data.reference.calibration ? `, of the float model ${percent(data.reference.calibration.ece, 1)} (dashed)` : "";
  return panel("Reliability", plot.drawing, note(`On the diagonal the probabilities are what they say. Expected calibration error ${percent(one.calibration.ece, 1)}${float}. Bars: events by bin.`));
}

function confusionPanel(one, data) {
  if (!one.confusion) return null;
  const rows = one.confusion.map((row, i) => {
    const all = row.reduce((sum, value) => sum + value, 0) || 1;
    return html("tr", {}, html("th", { scope: "row" }, data.classes[i]), row.map((value) => html(
      "td", { class: "cell", style: `--share:${((70 * value) / all).toFixed(1)}%` }, ((100 * value) / all).toFixed(1),
    )));
  });
  const head = html("tr", {}, html("th", {}, "true \\ predicted"), data.classes.map((name) => html("th", { style: "text-align:center" }, name)));
  return panel("Confusion, test split [% of the true class]", html("div", { class: "wide" }, html("table", { class: "confusion" }, html("thead", {}, head), html("tbody", {}, rows))));
}

function targetsPanel(one, data) {
  if (!one.targets) return null;
  const floats = data.reference.targets;
  const most = Math.max(...one.targets.map(([rmse]) => rmse), ...(floats ?? []).map(([rmse]) => rmse)) || 1;
  const digits = (value, count) => String(Number(value.toPrecision(count)));
  const rows = one.targets.map(([rmse, bias, resolution], i) => html(
    "tr", {}, html("td", {}, data.targets[i]), html("td", {}, bar(rmse / most, digits(rmse, 4), floats ? floats[i][0] / most : null)), html("td", {}, digits(bias, 3)), html("td", {}, digits(resolution, 4)),
    html("td", {}, floats ? digits(floats[i][0], 4) : "–"),
  ));
  const head = ["target", "RMSE", "bias", "resolution", "RMSE of float"].map((text) => html("th", {}, text));
  return panel(
    "Errors by target, test split",
    html("div", { class: "wide tall" }, html("table", { class: "bars" }, html("thead", {}, html("tr", {}, head)), html("tbody", {}, rows))),
    note("Bias: mean of prediction − target. Resolution: half the width of the central 68 % of it. Tick: the float model."),
  );
}

let residualTarget = 0;
function residualsPanel(one, data) {
  if (!one.residuals) return null;
  const box = html("div");
  const draw = () => {
    const models = [[data.reference.residuals?.[residualTarget], "k1 dashed"], [one.residuals[residualTarget], "k0"]].filter(([found]) => found);
    const end = Math.max(...models.map(([found]) => found.end));
    const density = (found) => found.heights.map((height) => (height / 99) * found.peak * (found.heights.length / (2 * found.end)));
    const high = Math.max(...models.flatMap(([found]) => density(found))) * 1.08;
    const plot = framed(PANEL, 340, { low: -end, high: end, label: `prediction − target of ${data.targets[residualTarget]} [target units]` }, { low: 0, high, label: "fraction of events per target unit" }, "Residuals");
    for (const [found, style] of models) {
      const width = (2 * found.end) / found.heights.length;
      const drawn = density(found);
      const xs = [-found.end, ...drawn.flatMap((_, i) => [i * width - found.end, (i + 1) * width - found.end]), found.end];
      const corners = points(xs, [0, ...drawn.flatMap((value) => [value, value]), 0], plot.across, plot.up);
      if (style === "k0") plot.drawing.append(svg("polygon", { class: "fill light", points: corners }));
      plot.drawing.append(svg("polyline", { class: `curve ${style}`, points: corners }));
    }
    plot.drawing.append(svg("line", { class: "axis", x1: plot.across(0), x2: plot.across(0), y1: plot.top, y2: plot.bottom }));
    const [below, above] = one.residuals[residualTarget].out;
    box.replaceChildren(plot.drawing, note(`Not drawn: ${percent(below, 2)} of the events below, ${percent(above, 2)} above the ends of the histogram.${models.length > 1 ? " Dashed: float." : ""}`));
  };
  const menu = html("select", { "aria-label": "target", class: "residual-target", change: (event) => { residualTarget = Number(event.target.value); draw(); } },
    data.targets.map((name, i) => html("option", { value: i, selected: i === residualTarget ? "" : null }, name)));
  draw();
  return panel("Residuals, test split", html("label", {}, "target ", menu), box);
}

function lossesPanel(one, data) {
  const title = "Training, mean loss of each epoch";
  if (!one.losses) return panel(title, note("There are no training curves: the candidate was not trained, or the study was made before losses were kept."));
  const lines = Object.entries(one.losses);
  const values = lines.flatMap(([, [, losses]]) => losses);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const log = least > 0 && most > 10 * least;
  const unit = data.targets.length ? "target units²" : "nat";
  const last = Math.max(...lines.map(([, [epochs]]) => epochs.at(-1)));
  const plot = framed(PANEL, 340, { low: 1, high: Math.max(last, 2), label: "epoch" },
    log ? { low: least / 1.2, high: most * 1.2, log, label: `loss [${unit}]` } : { low: Math.min(least, 0.8 * most) * 0.97, high: 1.04 * most || 1, label: `loss [${unit}]` }, "Training curves");
  const names = { total: "minimised", hard: data.targets.length ? "on the targets" : "on the labels", soft: "against the teacher" };
  const styles = { total: "k7", hard: "k0", soft: "k1" };
  for (const [name, [epochs, losses]] of lines) {
    plot.drawing.append(epochs.length > 1
      ? svg("polyline", { class: `curve ${styles[name]}`, points: points(epochs, losses, plot.across, plot.up) })
      : svg("circle", { class: `point ${styles[name]}`, cx: plot.across(epochs[0]), cy: plot.up(losses[0]), r: 4 }));
  }
  const key = lines.map(([name, [, losses]]) => html("li", {}, svg("svg", { viewBox: "0 0 16 7" }, svg("path", { class: `curve ${styles[name]}`, d: "M0 3.5H16" })), `${names[name]}, at the end ${number(losses.at(-1))}`));
  return panel(title, plot.drawing, html("ul", { class: "curves losses" }, key), note("Means over the batches of training events while the weights change; the trainings of a chain one behind the other."));
}

function histogram(found, quantizer, label) {
  const [width, height, base] = [300, 120, 96];
  const across = scale(found.ends[0], found.ends[1], 6, width - 6);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  const [from, to] = found.range.map(across);
  drawing.append(svg("rect", { class: "range", x: from, width: Math.max(to - from, 1), y: 4, height: base - 4 }));
  found.heights.forEach((value, i) => {
    const [a, b] = [across(found.ends[0] + (i * (found.ends[1] - found.ends[0])) / found.heights.length), across(found.ends[0] + ((i + 1) * (found.ends[1] - found.ends[0])) / found.heights.length)];
    const tall = value ? Math.max((value / 99) * (base - 10), 1) : 0;
    drawing.append(svg("rect", { class: "fill", x: a + 0.4, width: b - a - 0.8, y: base - tall, height: tall }));
  });
  const levels = (found.range[1] - found.range[0]) / found.step;
  if (levels <= 64 && !/po2|ternary|binary/.test(quantizer)) {
    let marks = "";
    for (let i = 0; i <= levels; i += 1) {
      const value = found.range[0] + i * found.step;
      if (value >= found.ends[0] && value <= found.ends[1]) marks += `M${across(value).toFixed(1)} ${base}v5`;
    }
    drawing.append(svg("path", { class: "level", d: marks }));
  }
  drawing.append(svg("line", { class: "axis", x1: 6, x2: width - 6, y1: base, y2: base }));
  for (const [value, anchor, x] of [[found.ends[0], "start", 6], [found.ends[1], "end", width - 6]]) {
    drawing.append(svg("text", { x, y: height - 6, "text-anchor": anchor }, String(Number(value.toPrecision(3)))));
  }
  return drawing;
}

function distribution(found, quantizer, label, outText) {
  if (!found) return html("figure", {}, html("figcaption", { class: "faint" }, `${label}: no quantizer`));
  const out = found.out > 0 ? ` ${percent(found.out, 1)} ${outText}` : "";
  const clipped = found.clipped > 0 ? ` ${found.clipped < 0.0005 ? "<0.1 %" : percent(found.clipped, 1)} clipped.` : "";
  const range = `${Number(found.range[0].toPrecision(4))} to ${Number(found.range[1].toPrecision(4))}`;
  return html("figure", {}, histogram(found, quantizer, label), html("figcaption", {}, html("b", {}, label), " ", html("code", {}, quantizer), html("span", { class: "faint" }, ` ${range}.${clipped}${out}`)));
}

function distributionsPanel(one) {
  if (!one.layers.some((layer) => layer.weights)) return null;
  const cells = one.layers.flatMap((layer) => [
    distribution(layer.weights, layer.weight, `${layer.name}, weights`, "are zero and left out."),
    distribution(layer.outputs, layer.activation ?? "", `${layer.name}, activations`, /relu/.test(layer.activation ?? "") ? "below zero, cut off by ReLU." : "are zero and left out."),
  ]);
  return html("section", { class: "panel whole" }, html("h4", {}, "Weights and activations before they are quantized, and the chosen ranges"), html("div", { class: "histograms" }, cells),
    note("Shaded: the quantizer's range; ticks below: its values, where there are at most 64. Activations: of 1,000 validation events at most."));
}

function planPanel(one) {
  const rows = one.layers.map((layer) => html(
    "tr", {}, html("td", {}, layer.name), [layer.weight, layer.bias, layer.activation].map((text) => html("td", { class: "text" }, text ? html("code", {}, text) : html("small", {}, "none"))),
    [layer.asked, layer.mask, layer.zero].map((value) => html("td", {}, percent(value, 1))),
  ));
  const head = ["layer", "weight", "bias", "activation", "mask asked", "mask", "zero"].map((text, i) => html("th", { class: i > 0 && i < 4 ? "text" : null }, text));
  return html("section", { class: "panel whole" }, html("h4", {}, "Plan and what became of it"), html("div", { class: "wide" }, html("table", {}, html("thead", {}, html("tr", {}, head)), html("tbody", {}, rows))),
    note("Mask: weights that pruning removes. Zero: quantized weights that are zero, by the mask or by rounding."));
}

function costPanel(one, data) {
  const write = (name) => (name.startsWith("sparsity") ? (value) => percent(value, 1) : number);
  const rows = Object.entries(one.cost).map(([name, found]) => html(
    "tr", {}, html("td", {}, data.labels[name]), html("td", {}, html("b", {}, write(name)(found[0])), html("small", {}, found.length > 1 ? ` (${write(name)(found[1])}–${write(name)(found[2])})` : "")),
    one.layers.map((_, i) => { const value = one.parts?.[name]?.[i]; return html("td", {}, value === undefined || value === null ? "–" : write(name)(value)); }),
    html("td", { class: "text wrap faint" }, one.sources?.[name] ?? data.sources[name]),
  ));
  const head = [html("th", {}, "figure"), html("th", {}, "total"), one.layers.map((layer) => html("th", {}, layer.name)), html("th", { class: "text" }, "source")];
  return html("section", { class: "panel whole" }, html("h4", {}, "Cost"), remarksOf(one, data), html("div", { class: "wide" }, html("table", {}, html("thead", {}, html("tr", {}, head)), html("tbody", {}, rows))));
}

function parityPanel(one) {
  const rows = one.parities.map((found) => html(
    "p", {}, html("b", { class: found.good ? "good" : "bad" }, found.verdict), " ", found.said ?? "",
    found.events ? bar(found.exact / found.events, `${number(found.exact)} of ${number(found.events)}`) : "",
  ));
  const link = (path, text) => (path ? html("p", {}, text, html("a", { href: `${encodeURI(path)}/` }, html("code", {}, path))) : "");
  return panel("Firmware against QKeras, bit by bit", rows, link(one.firmware, "HLS project: "), link(one.rtl, "Verilog: "));
}

function reproducePanel(one, data) {
  return panel("Make it again", html("p", {}, "This candidate alone, in the study's directory:"),
    html("pre", {}, html("code", {}, `qap train config.yaml --plan candidates/${one.id}/plan.yaml`)), note(data.trainNote));
}

/** The head of a candidate: score, cost, proof. */
function told(one, data) {
  const proof = one.parities.map((found) => html("span", { class: "proof" }, html("span", { class: found.good ? "good" : "bad" }, found.verdict), ` ${found.said ?? ""} `));
  const found = one.scores[data.metric];
  return [
    html("p", { class: "told" }, html("b", {}, score(found, data.percent)), " ", data.percent ? "accuracy" : "RMSE", " on the test split at ", html("b", {}, number(one.cost.ebops[0])), " EBOPs"),
    html("p", { class: "told" }, proof),
  ];
}

function article(one, data, nav = "") {
  return html(
    "article", { id: `c-${one.id}` },
    html("header", {}, html("h3", {}, `Candidate ${one.id}`), html("span", { class: "faint" }, one.architecture), nav, html("div", { class: "whole" }, told(one, data))),
    html("div", { class: "panels" }, layersPanel(one), parityPanel(one), resourcesPanel(one, data), timingPanel(one, data), rocPanel(one, data), efficiencyPanel(one, data),
      calibrationPanel(one, data), confusionPanel(one, data), targetsPanel(one, data), residualsPanel(one, data), lossesPanel(one, data), distributionsPanel(one), planPanel(one), costPanel(one, data), reproducePanel(one, data)),
  );
}

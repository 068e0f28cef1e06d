// The page: one state, the candidate that is chosen and the two axes; everything else is drawn from it.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = new Map(data.front.map((one) => [one.id, one]));
const triedById = new Map(data.tried.map((one) => [one.id, one]));
const place = (id) => document.getElementById(id);
let chosen = null;
let loading = true;

const planLines = (one) => one.layers.map((layer) => `${layer.name}: ${layer.weight}${layer.activation ? ` → ${layer.activation}` : ""}, ${(100 * layer.zero).toFixed(0)} % zero`);
const series = [{ points: data.front.map((one) => ({ ...one, plan: planLines(one) })), colour: "", reference: data.reference.scores }];
const faint = data.tried.map((one) => ({ architecture: data.model, ...one, plan: one.plan ?? (byId.has(one.id) ? planLines(byId.get(one.id)) : []) }));

function draw() {
  const [x, y] = [chosenAxis(data.axes, "x"), chosenAxis(data.axes, "y")];
  const width = Math.round(Math.min(Math.max(place("front").clientWidth, 340), 900));
  const line = x.name === data.axes.x[0].name && y.name === data.axes.y[0].name;
  const left = drawFront(place("front"), { series, faint, x, y, width, whole: place("whole").checked, chosen, select, line });
  const { outside } = left;
  const drawn = faint.filter((point) => hasBoth(point, x, y)).length;
  const said = drawn ? `${number(drawn)} of ${number(faint.length)} candidates tried, on the validation split${outside ? `; ${number(outside)} lie outside the axes` : ""}` : "Of the candidates tried the search has not noted these figures";
  place("tried-note").textContent = `${said}.`;
  place("front-note").textContent = omitted(left);
}

/** Show a candidate of the front whole, of the others what the search has noted. */
function select(id, scroll = false) {
  if (byId.has(id)) showCandidate(id, scroll);
  else if (triedById.has(id)) showTried(faint.find((one) => one.id === id));
  else return false;
  return true;
}

function showCandidate(id, scroll) {
  chosen = id;
  const [one, i] = [byId.get(id), data.front.findIndex((other) => other.id === id)];
  const step = (to, text) => html("button", { type: "button", disabled: data.front[to] ? null : "", click: () => select(data.front[to].id, true) }, text);
  const nav = html("nav", {}, step(i - 1, "← fewer EBOPs"), step(i + 1, "more EBOPs →"));
  place("candidates").replaceChildren(article(one, data, nav));
  place("brief").replaceChildren(
    html("p", { class: "told" }, html("a", { href: `#c-${id}` }, id), " ", html("small", {}, one.architecture)), ...told(one, data),
    html("p", { class: "told plan" }, planLines(one).map((text) => html("span", {}, text))),
  );
  for (const row of document.querySelectorAll(".front-table tbody tr")) row.classList.toggle("on", row.dataset.candidate === `c-${id}`);
  for (const link of place("front").querySelectorAll("svg a")) {
    link.classList.toggle("on", link.dataset.id === id);
    link.querySelector("circle").setAttribute("r", link.dataset.id === id ? 7 : 5);
  }
  if (!loading) history.replaceState(null, "", `#c-${id}`); // while it loads, that would scroll to the candidate
  if (scroll) place(`c-${id}`).scrollIntoView({ block: "start" });
}

function showTried(one) {
  const y = data.metric;
  place("brief").replaceChildren(
    html("p", { class: "told" }, html("b", {}, one.id), " ", html("small", {}, one.architecture ?? "")),
    html("p", { class: "told" }, html("b", {}, score([one.scores[y]], data.percent)), " on the validation split at ", html("b", {}, number(one.cost.ebops)), " EBOPs"),
    html("p", { class: "told faint" }, byId.has(one.id) ? "On the front." : "Not on the front: it was not judged on the test split."),
    html("p", { class: "told plan" }, one.plan.map((text) => html("span", {}, text))),
  );
}

function printAll() {
  const all = data.front.map((one) => article(one, data));
  const back = chosen;
  place("candidates").replaceChildren(...all);
  addEventListener("afterprint", () => select(back), { once: true });
  print();
}

document.documentElement.classList.add("js");
const asked = location.hash.slice(3);
menus(data.axes, draw);
select(data.shown);
draw();
select(asked);
loading = false;
place("print-all").addEventListener("click", printAll);
for (const row of document.querySelectorAll(".front-table tbody tr")) {
  row.addEventListener("click", (event) => { if (!event.target.closest("a")) select(row.dataset.candidate.slice(2)); });
}
addEventListener("hashchange", () => select(location.hash.slice(3), true));
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#c-']");
  if (link && !link.closest("svg") && select(link.getAttribute("href").slice(3), true)) event.preventDefault();
});
let waiting = 0;
addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(draw); });

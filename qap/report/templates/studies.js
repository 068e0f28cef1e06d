// The fronts of several studies on the same axes.
const data = JSON.parse(document.getElementById("data").textContent);
const box = document.getElementById("front");
const series = data.studies.map((study, k) => ({ title: study.name, page: study.page, colour: `s k${k % 10}`, points: study.front, reference: study.reference }));

function draw() {
  const [x, y] = [chosenAxis(data.axes, "x"), chosenAxis(data.axes, "y")];
  const width = Math.round(Math.min(Math.max(box.clientWidth, 340), 1100));
  const whole = document.getElementById("whole").checked;
  const left = drawFront(box, { series, faint: [], x, y, width, whole, chosen: null, select: null, line: true });
  document.getElementById("front-note").textContent = omitted(left);
}

document.documentElement.classList.add("js");
menus(data.axes, draw);
draw();
let waiting = 0;
addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(draw); });

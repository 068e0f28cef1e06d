"use strict";
(() => {
  const articles = [...document.querySelectorAll("article")];
  const marks = [...document.querySelectorAll("svg a, .front-table tbody tr")];
  const brief = document.getElementById("brief");

  const target = (mark) => (mark.dataset.candidate ?? mark.getAttribute("href").slice(1));

  function select(id) {
    const found = articles.find((article) => article.id === id);
    if (!found) return false;
    articles.forEach((article) => article.classList.toggle("on", article === found));
    marks.forEach((mark) => mark.classList.toggle("on", target(mark) === id));
    brief.replaceChildren(...found.querySelector("header").cloneNode(true).querySelectorAll(".told"));
    return true;
  }

  document.documentElement.classList.add("js");
  articles.forEach((article, i) => {
    article.querySelectorAll("button").forEach((button) => {
      const next = articles[i + Number(button.dataset.step)];
      button.disabled = !next;
      button.addEventListener("click", () => { select(next.id); next.scrollIntoView({ block: "nearest" }); });
    });
  });
  marks.forEach((mark) => mark.addEventListener("click", (event) => {
    if (event.target.closest("table a")) return;
    event.preventDefault();
    select(target(mark));
  }));
  addEventListener("hashchange", () => select(location.hash.slice(1)));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#c-']");
    if (link && !link.closest("svg")) select(link.getAttribute("href").slice(1));
  });
  if (!select(location.hash.slice(1))) select(brief.dataset.candidate);
})();

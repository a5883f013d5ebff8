// Draws each chart from the JSON in its figure, again when another view is chosen or the colour
// scheme changes; and leads the download links to the data.
"use strict";
{
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const config = { displayModeBar: false, responsive: true, showTips: false };

  // Figures name colours by the variables of page.css, which know the scheme.
  const coloured = (value, names) => {
    if (typeof value === "string") {
      const name = /^var\((--[\w-]+)\)$/.exec(value);
      return name ? names.getPropertyValue(name[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((each) => coloured(each, names));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [key, coloured(each, names)]),
    );
  };

  const font = { family: getComputedStyle(document.body).fontFamily };

  const charts = [...document.querySelectorAll("[data-chart]")].map((element) => {
    const plot = element.querySelector(".plot");
    const note = element.querySelector(".note");
    const select = element.querySelector("select");
    const views = JSON.parse(element.querySelector(".figures").textContent);
    const draw = () => {
      const view = views[select ? Number(select.value) : 0];
      const { data, layout } = coloured(view.figure, getComputedStyle(document.documentElement));
      plot.style.height = `${layout.height}px`;
      note.textContent = view.note;
      return Plotly.react(plot, data, { ...layout, font: { ...layout.font, ...font } }, config);
    };
    select?.addEventListener("change", draw);
    const behind = new Blob([element.querySelector(".behind").textContent], {
      type: "application/json",
    });
    element.querySelector(".download").href = URL.createObjectURL(behind);
    return draw;
  });

  const drawAll = () => Promise.all(charts.map((draw) => draw()));
  dark.addEventListener("change", drawAll);
  drawAll().then(() => document.documentElement.setAttribute("data-drawn", ""));
}

// The theme of the charts, as a template of Plotly: the page's colours, for light, dark and paper.

const read = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function template() {
  const [ink, soft, grid, card, up, down, line, volume, none, there, missing] =
    ["ink", "soft", "grid", "card", "up", "down", "line", "volume", "none", "there", "missing"].map(read);
  const axis = { gridcolor: grid, linecolor: grid, zerolinecolor: grid, tickcolor: grid, automargin: true };
  return {
    layout: {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, family: "system-ui, sans-serif", size: 12 },
      colorway: [line, read("second"), read("third"), up, down, soft],
      hoverlabel: { bgcolor: card, bordercolor: grid, font: { color: ink } },
      legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
      margin: { l: 52, r: 12, t: 30, b: 40 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
      xaxis: axis,
      yaxis: axis,
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    },
    data: {
      candlestick: [{
        // Falling bars are filled and rising ones are not, so that they differ without colours as well.
        increasing: { line: { color: up, width: 1.3 }, fillcolor: card },
        decreasing: { line: { color: down, width: 1.3 }, fillcolor: down },
      }],
      bar: [{ marker: { line: { width: 0 } } }],
      heatmap: [{ colorscale: [[0, none], [1 / 3, none], [1 / 3, there], [2 / 3, there], [2 / 3, missing], [1, missing]] }],
      scatter: [{ line: { width: 1.6 } }],
    },
  };
}

export const volumeColour = () => read("volume");

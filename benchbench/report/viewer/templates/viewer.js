"use strict";
// Shows one case at a time: its script calls receiveCase, because a page on the disk may not read other files.
const [cases, maps, opacity, state] = ["case", "map", "opacity", "state"].map((id) => document.getElementById(id));
const view = new niivue.Niivue({
  backColor: [0.08, 0.09, 0.11, 1], crosshairColor: [0.5, 0.7, 1, 0.7], crosshairWidth: 0.15, dragAndDropEnabled: false, isRadiologicalConvention: true, logLevel: "error",
});
const attached = view.attachTo("canvas");
let shown = null;

function colourTable() {
  const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
  const colours = JSON.parse(cases.selectedOptions[0].dataset.colours);
  Object.entries(colours).forEach(([region, colour], number) => {
    const channels = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    ["R", "G", "B"].forEach((letter, at) => table[letter].push(channels[at]));
    table.A.push(255);
    table.I.push(number + 1);
    table.labels.push(region);
  });
  return table;
}

async function show({ isNew }) {
  await attached;
  const { NVImage } = niivue;
  const image = await NVImage.loadFromBase64({ base64: shown.image, name: "image.nii.gz", cal_min: 0, cal_max: 255 });
  const map = await NVImage.loadFromBase64({
    base64: shown.maps[maps.value], name: "map.nii.gz", opacity: Number(opacity.value), cal_min: 0, cal_max: 255,
  });
  map.setColormapLabel(colourTable());
  while (view.volumes.length) view.removeVolume(view.volumes[0]);
  view.addVolume(image);
  view.addVolume(map);
  if (isNew) view.scene.crosshairPos = view.mm2frac(shown.centre_mm);
  view.updateGLVolume();
  state.textContent = `${maps.value}, ${image.dims.slice(1, 4).join(" x ")} voxels`;
}

window.receiveCase = (content) => {
  shown = content;
  maps.replaceChildren(...Object.keys(content.maps).map((name) => new Option(name, name)));
  show({ isNew: true });
};

function load() {
  state.textContent = "loading";
  const script = document.createElement("script");
  script.src = cases.value;
  script.onload = () => script.remove();
  script.onerror = () => { state.textContent = `${cases.value} is missing; write the viewer again`; };
  document.body.append(script);
}

cases.addEventListener("change", load);
maps.addEventListener("change", () => show({ isNew: false }));
opacity.addEventListener("input", () => {
  if (view.volumes.length > 1) view.setOpacity(1, Number(opacity.value));
});
load();

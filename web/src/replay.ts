/** A clip's skeleton, played on the stage. */

import { secondsOf, type Clip } from "./clip.ts";
import { find } from "./element.ts";
import { boxAround, drawSkeleton, type Box } from "./skeleton.ts";

const canvas = find<HTMLCanvasElement>("canvas");
const bar = find("replay");
const play = find<HTMLButtonElement>("play");
const position = find<HTMLInputElement>("position");
const clock = find("clock");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

let shown: { clip: Clip; box: Box } | null = null;
let timer = 0;

/** Show a clip and play it once; who wants less motion starts it. */
export function openReplay(clip: Clip): void {
  closeReplay();
  const box = boxAround(clip);
  [canvas.width, canvas.height] = fit(box);
  shown = { clip, box };
  position.max = String(clip.frames.length - 1);
  bar.hidden = false;
  show(0);
  if (!calm.matches) start();
}

export function closeReplay(): void {
  pause();
  shown = null;
  bar.hidden = true;
}

export const isReplaying = (): boolean => shown !== null;

/** 960 pixels on the longer side, and no stripe of a canvas. */
function fit({ width, height }: Box): [number, number] {
  const ratio = Math.min(Math.max(width / height, 0.5), 2);
  return ratio > 1 ? [960, Math.round(960 / ratio)] : [Math.round(960 * ratio), 960];
}

function show(index: number): void {
  if (!shown) return;
  const { clip, box } = shown;
  drawSkeleton(canvas, { values: clip.frames[index], keypoints: clip.keypoints, edges: clip.edges }, box);
  const time = `${clip.times[index].toFixed(1)} of ${secondsOf(clip).toFixed(1)} s`;
  position.value = String(index);
  position.setAttribute("aria-valuetext", time);
  clock.textContent = time;
}

function start(): void {
  if (!shown) return;
  const { clip } = shown;
  const last = clip.frames.length - 1;
  const first = Number(position.value) >= last ? 0 : Number(position.value);
  const began = performance.now() - clip.times[first] * 1000;
  play.textContent = "Pause";
  let index = first;
  const step = () => {
    const now = (performance.now() - began) / 1000;
    while (index < last && clip.times[index + 1] <= now) index++;
    show(index);
    if (index < last) timer = requestAnimationFrame(step);
    else pause();
  };
  timer = requestAnimationFrame(step);
}

function pause(): void {
  cancelAnimationFrame(timer);
  timer = 0;
  play.textContent = "Play";
}

play.onclick = () => (timer ? pause() : start());
position.oninput = () => {
  pause();
  show(Number(position.value));
};

/** Skeletons on a canvas. */

import { NUMBERS, type Clip } from "./clip.ts";
import { FACE, LEFT_HAND, RIGHT_HAND, WORLD, type Edge } from "./points.ts";

// On a dark ground or a camera's picture, and told apart by people who see few colours.
const COLORS = { left: "#ffc46b", right: "#7fd4ff", body: "#ffffff", face: "rgb(255 255 255 / .55)" };
const SHADOW = "rgb(0 0 0 / .55)";
const SEEN = 0.1; // points with less confidence aren't drawn
const VISIBLE = 0.3; // the body's points: MediaPipe guesses those that are out of the picture

export interface Frame {
  values: Float32Array;
  keypoints: string[];
  edges: Edge[];
}

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Draw one frame; `box` is the part of the plane that the canvas shows. */
export function drawSkeleton(canvas: HTMLCanvasElement, frame: Frame, box: Box): void {
  const brush = clearCanvas(canvas);
  const scale = Math.min(canvas.width / box.width, canvas.height / box.height);
  const left = (canvas.width - box.width * scale) / 2 - box.left * scale;
  const top = (canvas.height - box.height * scale) / 2 - box.top * scale;
  const place = (point: number): [number, number] => [
    left + frame.values[point * NUMBERS] * scale,
    top + frame.values[point * NUMBERS + 1] * scale,
  ];
  const line = Math.max(2, Math.min(canvas.width, canvas.height) / 150);
  brush.lineCap = "round";
  for (const [width, shadow] of [[line * 2.2, true], [line, false]] as const) {
    brush.lineWidth = width;
    for (const [a, b] of frame.edges) {
      if (!isSeen(frame, a) || !isSeen(frame, b)) continue;
      brush.strokeStyle = shadow ? SHADOW : colorOf(frame.keypoints[a]);
      brush.beginPath();
      brush.moveTo(...place(a));
      brush.lineTo(...place(b));
      brush.stroke();
    }
  }
  frame.keypoints.forEach((name, point) => {
    const isFace = name.startsWith(FACE);
    if (!isSeen(frame, point) || !(isFace || isHand(name))) return;
    brush.fillStyle = colorOf(name);
    brush.beginPath();
    brush.arc(...place(point), isFace ? line * 0.35 : line * 0.9, 0, 2 * Math.PI);
    brush.fill();
  });
}

export function clearCanvas(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const brush = canvas.getContext("2d")!;
  brush.clearRect(0, 0, canvas.width, canvas.height);
  return brush;
}

/** What a whole clip keeps within, with a margin; files needn't say how large their pictures were. */
export function boxAround(clip: Clip): Box {
  const xs: number[] = [];
  const ys: number[] = [];
  const shown = clip.keypoints.map((_, k) => k).filter((k) => !clip.keypoints[k].startsWith(WORLD));
  const step = Math.ceil(clip.frames.length / 100);
  for (let t = 0; t < clip.frames.length; t += step) {
    const frame = { values: clip.frames[t], keypoints: clip.keypoints, edges: clip.edges };
    for (const k of shown) {
      if (!isSeen(frame, k)) continue;
      xs.push(clip.frames[t][k * NUMBERS]);
      ys.push(clip.frames[t][k * NUMBERS + 1]);
    }
  }
  if (!xs.length) return { left: 0, top: 0, width: 1, height: 1 };
  // Not the outermost points: a single stray one would make all the rest small.
  const [left, right] = range(xs);
  const [top, bottom] = range(ys);
  const margin = 0.06 * Math.max(right - left, bottom - top, 1e-6);
  return { left: left - margin, top: top - margin, width: right - left + 2 * margin, height: bottom - top + 2 * margin };
}

function range(values: number[]): [number, number] {
  values.sort((a, b) => a - b);
  const cut = Math.floor(values.length * 0.001);
  return [values[cut], values[values.length - 1 - cut]];
}

function isSeen(frame: Frame, point: number): boolean {
  const name = frame.keypoints[point];
  if (name.startsWith(WORLD)) return false;
  const confidence = frame.values[point * NUMBERS + 3];
  return confidence > (isHand(name) || name.startsWith(FACE) ? SEEN : VISIBLE);
}

const isHand = (name: string) => name.startsWith(LEFT_HAND) || name.startsWith(RIGHT_HAND);

function colorOf(name: string): string {
  if (name.startsWith(LEFT_HAND)) return COLORS.left;
  if (name.startsWith(RIGHT_HAND)) return COLORS.right;
  return name.startsWith(FACE) ? COLORS.face : COLORS.body;
}

/** Landmarks over time: what is recorded, sent, kept, drawn and downloaded. */

import type { Edge } from "./points.ts";

/** How many numbers a point has: x, y, z and the confidence. */
export const NUMBERS = 4;

export interface Clip {
  keypoints: string[];
  edges: Edge[];
  /** Of each frame K x (x, y, z, confidence), in pixels. */
  frames: Float32Array[];
  /** Of each frame, seconds since the first one. */
  times: number[];
  width: number;
  height: number;
  fps: number;
}

export const secondsOf = (clip: Clip): number =>
  clip.frames.length ? clip.times[clip.times.length - 1] + 1 / clip.fps : 0;

/** The points of a frame that a model reads, in its order; those that aren't there are missing (all zero). */
export function selectPoints(frame: Float32Array, columns: number[]): Float32Array {
  const picked = new Float32Array(columns.length * NUMBERS);
  columns.forEach((column, i) => {
    if (column >= 0) picked.set(frame.subarray(column * NUMBERS, (column + 1) * NUMBERS), i * NUMBERS);
  });
  return picked;
}

export function columnsOf(names: string[], keypoints: string[]): number[] {
  const index = new Map(keypoints.map((name, i) => [name, i]));
  return names.map((name) => index.get(name) ?? -1);
}

/** The rate of frames that came when they came. */
export function meanRate(times: number[]): number {
  const span = times[times.length - 1] - times[0];
  return times.length > 1 && span > 0 ? (times.length - 1) / span : 25;
}

/** The same clip at a constant rate, each moment by its nearest frame: .pose files know no times. */
export function atConstantRate(clip: Clip): Clip {
  const count = Math.max(1, Math.round(clip.times[clip.times.length - 1] * clip.fps) + 1);
  let near = 0;
  const frames = Array.from({ length: count }, (_, i) => {
    const time = i / clip.fps;
    while (near + 1 < clip.times.length && clip.times[near + 1] - time <= time - clip.times[near]) near++;
    return clip.frames[near];
  });
  return { ...clip, frames, times: frames.map((_, i) => i / clip.fps) };
}

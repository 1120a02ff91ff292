/** Landmarks of a video file, frame by frame, in this browser. */

import { type Clip } from "./clip.ts";
import { nextPicture } from "./camera.ts";
import type { Landmarker } from "./landmarks.ts";
import { abortable } from "./messages.ts";
import { KEYPOINTS, skeletonEdges } from "./points.ts";

const STEP = 1000 / 30; // MediaPipe's Python package lets this time pass between pictures, whatever their rate
const USUAL_RATE = 25;
const SAMPLES = 12; // pictures that the rate is measured from

export class VideoError extends Error {}

export interface Progress {
  done: number;
  total: number;
  values: Float32Array;
}

/** Open a video; its pictures are where `video` shows them. Throws a VideoError if the browser can't. */
export async function openVideo(video: HTMLVideoElement, file: File): Promise<void> {
  closeVideo(video);
  video.src = URL.createObjectURL(file);
  await new Promise<void>((resolve, reject) => {
    video.onloadeddata = () => resolve();
    video.onerror = () => reject(new VideoError(`This browser can't play ${file.name}.`));
  });
  if (!video.videoWidth || !Number.isFinite(video.duration))
    throw new VideoError(`${file.name} has no pictures that this browser can show.`);
}

export function closeVideo(video: HTMLVideoElement): void {
  if (video.src) URL.revokeObjectURL(video.src);
  video.onerror = null;
  video.removeAttribute("src");
  video.load();
}

export async function landmarksOfVideo(
  video: HTMLVideoElement,
  landmarker: Landmarker,
  tell: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<Clip> {
  const fps = await measureRate(video, signal);
  const total = Math.max(1, Math.round(video.duration * fps));
  const frames: Float32Array[] = [];
  landmarker.reset();
  for (let i = 0; i < total; i++) {
    await abortable(seek(video, Math.min((i + 0.5) / fps, video.duration)), signal);
    const values = await landmarker.find(await createImageBitmap(video), STEP);
    frames.push(values);
    tell({ done: i + 1, total, values });
  }
  const { videoWidth: width, videoHeight: height } = video;
  const times = frames.map((_, i) => i / fps);
  return { keypoints: KEYPOINTS, edges: skeletonEdges(KEYPOINTS), frames, times, width, height, fps };
}

function seek(video: HTMLVideoElement, seconds: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = () => reject(new VideoError(`The video is damaged ${video.currentTime.toFixed(1)} s after its start. Cut it there, or choose another file.`));
    if (video.error) fail(); // it says so once, and never moves again
    video.onerror = fail;
    video.onseeked = () => resolve();
    video.currentTime = seconds;
  });
}

/** Pictures per second, from the first of them: browsers don't tell. */
async function measureRate(video: HTMLVideoElement, signal: AbortSignal): Promise<number> {
  const times = new Set<number>();
  video.muted = true;
  video.playbackRate = 0.5; // so that a slow machine doesn't skip some
  await abortable(video.play(), signal);
  for (let tries = 0; times.size < SAMPLES && tries < 2 * SAMPLES && !video.ended && !video.error; tries++) {
    await abortable(Promise.race([nextPictureTime(video).then((time) => times.add(time)), nextPicture(video)]), signal);
  }
  video.pause();
  const sorted = [...times].sort((a, b) => a - b);
  const steps = sorted.slice(1).map((time, i) => time - sorted[i]).sort((a, b) => a - b);
  const step = steps[Math.floor(steps.length / 2)];
  return step > 0 ? Math.min(Math.max(1 / step, 1), 120) : USUAL_RATE;
}

const nextPictureTime = (video: HTMLVideoElement) =>
  new Promise<number>((resolve) => video.requestVideoFrameCallback((_, { mediaTime }) => resolve(mediaTime)));

/** The stage: the camera, a video or a replay, and the skeleton over it. */

import type { Clip } from "./clip.ts";
import { find } from "./element.ts";
import { KEYPOINTS, skeletonEdges } from "./points.ts";
import { openReplay } from "./replay.ts";
import { clearCanvas, drawSkeleton } from "./skeleton.ts";

export const video = find<HTMLVideoElement>("video");
const canvas = find<HTMLCanvasElement>("canvas");
const stage = find("stage");
const EDGES = skeletonEdges(KEYPOINTS);

type Shown = "nothing" | "camera" | "video" | "replay";

export const shows = (): string => stage.dataset.shows ?? "nothing";

/** Show something of these proportions; the camera as a mirror does. */
export function show(what: Shown, width = 4, height = 3): void {
  stage.dataset.shows = what;
  stage.classList.toggle("mirrored", what === "camera");
  stage.style.aspectRatio = `${width} / ${height}`;
  if (what !== "replay") clearCanvas(canvas);
}

export const showVideo = (what: "camera" | "video"): void => show(what, video.videoWidth, video.videoHeight);

export function showClip(clip: Clip): void {
  openReplay(clip);
  show("replay", canvas.width, canvas.height);
  stage.scrollIntoView({ block: "nearest" });
}

/** The landmarks of the picture that the video shows. */
export function drawLive(values: Float32Array): void {
  const { videoWidth: width, videoHeight: height } = video;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  drawSkeleton(canvas, { values, keypoints: KEYPOINTS, edges: EDGES }, { left: 0, top: 0, width, height });
}

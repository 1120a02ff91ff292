/** The camera and what is recorded from it. */

import { nextPicture, startCamera, stopCamera } from "./camera.ts";
import { chosen } from "./choices.ts";
import { find } from "./element.ts";
import { canFindLandmarks, explain, forgetLandmarker, getLandmarker } from "./finder.ts";
import type { Landmarker } from "./landmarks.ts";
import { abortable, hideTrouble, isFree, showHints, showTrouble, work } from "./messages.ts";
import { Recording } from "./recording.ts";
import { closeReplay, isReplaying } from "./replay.ts";
import { clearResult, showPartial } from "./result.ts";
import type { Service } from "./service.ts";
import { drawLive, show, shows, showVideo, video } from "./stage.ts";
import { translate } from "./translating.ts";
import { findHints, HINTS, measureBrightness } from "./watching.ts";

const cameraButton = find<HTMLButtonElement>("camera");
const recordButton = find<HTMLButtonElement>("record");

const WATCHED = 1500; // milliseconds that hints look back on
const HINT_EVERY = 500;
const FEW_PICTURES = 8; // per second; fingers spell faster
const SLOW = "Landmarks are found slowly on this machine. Sign slowly, and close other programs.";

let cameraIsOn = false;
let recording: Recording | null = null;

export const isCameraOn = (): boolean => cameraIsOn;
export const isRecording = (): boolean => recording !== null;

// --------------------------------------------------------------------------------------- camera

export async function toggleCamera(service: Service): Promise<void> {
  if (cameraIsOn) turnCameraOff(service);
  else await turnCameraOn(service);
}

async function turnCameraOn(service: Service): Promise<void> {
  if (!isFree() || !canFindLandmarks()) return;
  hideTrouble();
  try {
    await work("Starting the camera; the first time, the landmark finder is loaded (30 MB)", async (signal) => {
      closeReplay();
      await startCamera(video);
      const landmarker = await abortable(getLandmarker(), signal);
      landmarker.reset();
      cameraIsOn = true;
      void watch(landmarker, service);
    });
  } catch (fault) {
    showTrouble(explain(fault));
  }
  if (!cameraIsOn) {
    stopCamera(video);
    show("nothing");
    return;
  }
  showVideo("camera");
  cameraButton.textContent = "Stop camera";
  cameraButton.classList.remove("main");
  recordButton.hidden = false;
  recordButton.focus();
}

export function turnCameraOff(service: Service): void {
  stopRecording(service);
  cameraIsOn = false;
  stopCamera(video);
  showHints([]);
  cameraButton.textContent = "Start camera";
  cameraButton.classList.add("main");
  if (document.activeElement === recordButton) cameraButton.focus(); // what is hidden loses the keyboard
  recordButton.hidden = true;
  if (!isReplaying()) show("nothing");
}

/** Follow the camera until it is turned off. */
async function watch(landmarker: Landmarker, service: Service): Promise<void> {
  const [track] = (video.srcObject as MediaStream).getVideoTracks();
  try {
    await follow(landmarker, service, () => cameraIsOn && track.readyState === "live");
  } catch (fault) {
    turnCameraOff(service);
    forgetLandmarker();
    showTrouble(explain(fault));
    return;
  }
  if (!cameraIsOn) return;
  turnCameraOff(service);
  showTrouble("The camera was disconnected. Connect it, then press “Start camera”.");
}

async function follow(landmarker: Landmarker, service: Service, goesOn: () => boolean): Promise<void> {
  let [width, height] = [video.videoWidth, video.videoHeight];
  let [before, hinted] = [performance.now(), performance.now()];
  let recent: { values: Float32Array; at: number }[] = [];
  while (goesOn()) {
    await nextPicture(video);
    if (!goesOn() || document.hidden) continue;
    const now = performance.now();
    if (width !== video.videoWidth || height !== video.videoHeight) {
      [width, height] = [video.videoWidth, video.videoHeight];
      turn(service);
      landmarker.reset();
    }
    const values = await landmarker.find(await createImageBitmap(video), now - before);
    before = now;
    if (!goesOn()) break;
    recording?.add(values, now);
    if (shows() === "camera") drawLive(values);
    recent = [...recent.filter(({ at }) => now - at < WATCHED), { values, at: now }];
    if (now - hinted < HINT_EVERY) continue;
    hinted = now;
    const hints = findHints(recent.map((frame) => frame.values), measureBrightness(video)).map((hint) => HINTS[hint]);
    const rate = ((recent.length - 1) * 1000) / (now - recent[0].at);
    showHints(recent.length > 2 && rate < FEW_PICTURES ? [...hints, SLOW] : hints);
  }
}

/** The phone was rotated: the picture is another one from here on, so the recording can't go on. */
function turn(service: Service): void {
  if (recording) {
    stopRecording(service);
    showTrouble("The picture turned, so the recording ended there.");
  }
  if (shows() === "camera") showVideo("camera");
}

/** From a replay back to the camera, or to the empty stage. */
export function leaveReplay(): void {
  closeReplay();
  if (cameraIsOn) showVideo("camera");
  else show("nothing");
}

// ------------------------------------------------------------------------------------ recording

export function toggleRecording(service: Service): void {
  if (recording) stopRecording(service);
  else startRecording(service);
}

function startRecording(service: Service): void {
  const choice = cameraIsOn && isFree() ? chosen() : null;
  if (!choice) return;
  hideTrouble();
  if (isReplaying()) leaveReplay();
  clearResult("Watching your hands …");
  const size = { width: video.videoWidth, height: video.videoHeight };
  const started = new Recording(choice, size, service, (text) => {
    if (recording === started) showPartial(text);
  });
  recording = started;
  const tick = () => {
    if (recording !== started) return;
    find("mark-text").textContent = `${started.seconds.toFixed(0)} s of ${choice.model.max_seconds.toFixed(0)} s`;
    if (started.seconds >= choice.model.max_seconds) stopRecording(service);
    else setTimeout(tick, 250);
  };
  tick();
  showRecording();
}

/** End the recording, if there is one, and translate it. */
export function stopRecording(service: Service): void {
  const ended = endRecording();
  if (!ended) return;
  const clip = ended.finish();
  if (clip) void translate(service, { choice: ended.choice, clip, live: ended.live, source: "camera" });
  else {
    clearResult("");
    showTrouble("That was too short: fewer than two pictures. Press the space bar, sign, then press it again.");
  }
}

export function dropRecording(): void {
  endRecording()?.live.cancel();
  clearResult("The recording was dropped.");
}

function endRecording(): Recording | null {
  const ended = recording;
  recording = null;
  showRecording();
  return ended;
}

function showRecording(): void {
  document.body.classList.toggle("recording", recording !== null);
  find("record-text").textContent = recording ? "Stop and translate" : "Record";
  find("mark").hidden = recording === null;
}

/** The page: what its buttons, keys and drops do. */

import { listenForKey, loadChoices } from "./choices.ts";
import { find } from "./element.ts";
import { takeFiles } from "./files.ts";
import { warnIfSlow } from "./finder.ts";
import { listenToHistory } from "./history.ts";
import { isWorking, stopWorking } from "./messages.ts";
import { Service } from "./service.ts";
import { showClip } from "./stage.ts";
import { dropRecording, isCameraOn, isRecording, leaveReplay, stopRecording, toggleCamera, toggleRecording } from "./studio.ts";

const fileInput = find<HTMLInputElement>("file");
const service = new Service();

find("camera").onclick = () => void toggleCamera(service);
find("record").onclick = () => toggleRecording(service);
find("close-replay").onclick = () => {
  leaveReplay();
  find(isCameraOn() ? "record" : "camera").focus();
};
fileInput.onchange = async () => {
  await takeFiles(fileInput.files ?? [], service);
  fileInput.value = ""; // so that the same file can be chosen again
};
listenToHistory((clip) => {
  if (isRecording() || isWorking()) return;
  showClip(clip);
  find("play").focus();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const isTaken = event.target instanceof Element && event.target.closest("a, button, input, select");
  if (event.key === " " && isCameraOn() && !isTaken) {
    event.preventDefault(); // also while it is held: it would scroll
    if (!event.repeat) toggleRecording(service);
  } else if (event.key === "Escape") {
    if (isRecording()) dropRecording();
    else stopWorking();
  }
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stopRecording(service); // browsers give hidden pages no pictures
});

let depth = 0; // of the elements that a dragged file is over
const holdsFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
const markDrop = (change: number) => {
  depth = Math.max(0, depth + change);
  document.body.classList.toggle("dropping", depth > 0);
};
document.addEventListener("dragenter", (event) => holdsFiles(event) && markDrop(1));
document.addEventListener("dragleave", (event) => holdsFiles(event) && markDrop(-1));
document.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
document.addEventListener("drop", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  markDrop(-depth);
  void takeFiles(event.dataTransfer?.files ?? [], service);
});

warnIfSlow();
listenForKey(service);
void loadChoices(service);

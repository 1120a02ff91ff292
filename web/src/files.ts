/** Files that are dropped or chosen: .pose files and videos, told apart by what they hold. */

import { chosen, limits } from "./choices.ts";
import type { Clip } from "./clip.ts";
import { canFindLandmarks, explain, getLandmarker } from "./finder.ts";
import { abortable, hideTrouble, isFree, showTrouble, showWork, work } from "./messages.ts";
import { isPose, readPose } from "./pose_file.ts";
import { closeReplay } from "./replay.ts";
import type { Choice, Service } from "./service.ts";
import { drawLive, show, showClip, showVideo, video } from "./stage.ts";
import { dropRecording, isCameraOn, isRecording, turnCameraOff } from "./studio.ts";
import { translate } from "./translating.ts";
import { closeVideo, landmarksOfVideo, openVideo, VideoError, type Progress } from "./video_file.ts";

const MIB = 2 ** 20;

/** Translate files, one after the other. */
export async function takeFiles(files: Iterable<File>, service: Service): Promise<void> {
  for (const file of [...files]) {
    if (isRecording()) dropRecording(); // what is seen then is the file
    const choice = isFree() ? chosen() : null;
    if (!choice) return;
    hideTrouble();
    try {
      if ((await isPose(file)) || file.name.endsWith(".pose")) await takePose(file, choice, service);
      else if (file.type && !file.type.startsWith("video/"))
        showTrouble(`${file.name} is neither a .pose file nor a video. Choose one of these.`);
      else await takeVideo(file, choice, service);
    } catch (fault) {
      if (!(fault instanceof DOMException)) throw fault; // folders, and files that went away meanwhile
      showTrouble(`${file.name} can't be read. Choose a .pose file or a video; of a folder, its files.`);
    }
  }
}

async function takePose(file: File, choice: Choice, service: Service): Promise<void> {
  const most = limits()?.upload_mb ?? Infinity;
  if (file.size > most * MIB) {
    showTrouble(`${file.name} has ${(file.size / MIB).toFixed(0)} MiB; the service takes up to ${most}. Cut it into sentences.`);
    return;
  }
  const clip = readPose(await file.arrayBuffer());
  if (clip) showClip(clip);
  await translate(service, { choice, clip, file, source: file.name });
}

/** Find the landmarks of a video here, and send them alone. */
async function takeVideo(file: File, choice: Choice, service: Service): Promise<void> {
  if (!canFindLandmarks()) return;
  if (isCameraOn()) turnCameraOff(service);
  let clip: Clip | null = null;
  try {
    await work(`Opening ${file.name}`, async (signal) => {
      closeReplay();
      await abortable(openVideo(video, file), signal);
      const longest = choice.model.max_seconds;
      if (video.duration > longest)
        throw new VideoError(`${file.name} lasts ${video.duration.toFixed(0)} s; the model takes up to ${longest}. Cut it into sentences.`);
      showVideo("video");
      const tell = ({ done, total, values }: Progress) => {
        drawLive(values);
        showWork(`Finding landmarks: picture ${done} of ${total}`, done, total);
      };
      clip = await landmarksOfVideo(video, await abortable(getLandmarker(), signal), tell, signal);
    });
  } catch (fault) {
    const send = () => void translate(service, { choice, clip: null, file, source: file.name });
    if (fault instanceof VideoError && !video.videoWidth && limits()?.video)
      showTrouble(`${fault.message} The service may be able to, but then the video itself leaves this machine.`, { text: "Send the video", act: send });
    else showTrouble(explain(fault));
  }
  closeVideo(video);
  show("nothing");
  if (!clip) return;
  showClip(clip);
  await translate(service, { choice, clip, source: file.name });
}

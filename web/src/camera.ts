/** The camera: asking for it, why it can't be had, and its pictures as they come. */

const WISH: MediaStreamConstraints = {
  audio: false,
  video: { facingMode: "user", width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } },
};

const REASONS: Record<string, string> = {
  NotAllowedError:
    "The browser may not use the camera. Allow it in the site's settings (beside the address), then press “Start camera” again.",
  NotFoundError: "There is no camera here. Connect one, or choose a video or a .pose file.",
  NotReadableError: "The camera is in use by another program, or doesn't answer. Close the other program and try again.",
  OverconstrainedError: "This camera gives no pictures that fit. Try another one, or choose a file.",
};

export class CameraError extends Error {}

/** Show the camera in a video element. Throws a CameraError whose message says what to do. */
export async function startCamera(video: HTMLVideoElement): Promise<void> {
  if (!navigator.mediaDevices?.getUserMedia)
    throw new CameraError("Browsers give the camera only to pages from https:// or this machine itself. Open the page so.");
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia(WISH);
    await video.play();
  } catch (fault) {
    stopCamera(video);
    const name = fault instanceof Error ? fault.name : "";
    throw new CameraError(REASONS[name] ?? `The camera can't be started (${fault}). Try again, or choose a file.`);
  }
}

export function stopCamera(video: HTMLVideoElement): void {
  const stream = video.srcObject as MediaStream | null;
  stream?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
}

/** Wait for the next new picture; also where the browser gives none because the page is hidden. */
export function nextPicture(video: HTMLVideoElement): Promise<void> {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, 1000);
    video.requestVideoFrameCallback(() => {
      clearTimeout(late);
      resolve();
    });
  });
}

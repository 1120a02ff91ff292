/** The points that MediaPipe Holistic finds, named and ordered as in .pose files (signseq.poses.skeletons). */

export const BODY = "POSE_LANDMARKS";
export const FACE = "FACE_LANDMARKS";
export const LEFT_HAND = "LEFT_HAND_LANDMARKS";
export const RIGHT_HAND = "RIGHT_HAND_LANDMARKS";
export const WORLD = "POSE_WORLD_LANDMARKS";
export const HANDS = [LEFT_HAND, RIGHT_HAND];

const SIDES = ["LEFT", "RIGHT"];
const FINGERS = ["INDEX_FINGER", "MIDDLE_FINGER", "RING_FINGER", "PINKY"];
const FACE_POINTS = 468;

export const HAND_POINTS = [
  "WRIST",
  ...["CMC", "MCP", "IP", "TIP"].map((joint) => `THUMB_${joint}`),
  ...FINGERS.flatMap((finger) => ["MCP", "PIP", "DIP", "TIP"].map((joint) => `${finger}_${joint}`)),
];
export const BODY_POINTS = [
  "NOSE",
  ...SIDES.flatMap((side) => ["_INNER", "", "_OUTER"].map((place) => `${side}_EYE${place}`)),
  ...SIDES.map((side) => `${side}_EAR`),
  ...SIDES.map((side) => `MOUTH_${side}`),
  ...[
    ...["SHOULDER", "ELBOW", "WRIST", "PINKY", "INDEX", "THUMB"],
    ...["HIP", "KNEE", "ANKLE", "HEEL", "FOOT_INDEX"],
  ].flatMap((joint) => SIDES.map((side) => `${side}_${joint}`)),
];

const named = (component: string, points: string[]) => points.map((p) => `${component}.${p}`);

/** 576 names: body, face mesh, both hands, and the body in metres. */
export const KEYPOINTS = [
  ...named(BODY, BODY_POINTS),
  ...named(FACE, Array.from({ length: FACE_POINTS }, (_, i) => String(i))),
  ...HANDS.flatMap((hand) => named(hand, HAND_POINTS)),
  ...named(WORLD, BODY_POINTS),
];

export type Edge = [number, number];

const BONES: Edge[] = [[0, 1], [1, 2], [2, 3], [3, 4], // thumb
  ...[5, 9, 13, 17].flatMap((first): Edge[] => [
    [0, first], [first, first + 1], [first + 1, first + 2], [first + 2, first + 3],
  ])];
const LIMBS = [
  ["LEFT_SHOULDER", "RIGHT_SHOULDER"],
  ...SIDES.flatMap((side) =>
    [["SHOULDER", "ELBOW"], ["ELBOW", "WRIST"], ["SHOULDER", "HIP"], ["HIP", "KNEE"], ["KNEE", "ANKLE"]].map(
      ([a, b]) => [`${side}_${a}`, `${side}_${b}`],
    ),
  ),
  ["LEFT_HIP", "RIGHT_HIP"],
];

/** Which of the keypoints a bone connects, by their names. */
export function skeletonEdges(keypoints: string[]): Edge[] {
  const index = new Map(keypoints.map((name, i) => [name, i]));
  const pairs = [
    ...HANDS.flatMap((hand) => BONES.map(([a, b]) => [`${hand}.${HAND_POINTS[a]}`, `${hand}.${HAND_POINTS[b]}`])),
    ...LIMBS.map(([a, b]) => [`${BODY}.${a}`, `${BODY}.${b}`]),
  ];
  return pairs
    .map(([a, b]) => [index.get(a), index.get(b)])
    .filter((edge): edge is Edge => edge[0] !== undefined && edge[1] !== undefined);
}

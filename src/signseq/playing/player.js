// Skeletons that play on a canvas. A skeleton is {points, edges, hands}; a pose is {data, frames, seconds}:
// deflated bytes (frames, points, 2), each less the one a frame before; `absent` where a point isn't seen.
const SLOW = 0.25;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const players = new Set();
function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
function bytesOf(text) { return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)); }
async function unpack(pose, points) {
  const stream = new Blob([bytesOf(pose.data)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  for (let place = 2 * points; place < bytes.length; place++) bytes[place] += bytes[place - 2 * points];
  return bytes;
}
function color(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
function draw(player) {
  const { canvas, bytes, pose, skeleton, hands, lined } = player;
  if (!bytes) return;
  const context = canvas.getContext("2d"), size = canvas.width, scale = size / data.side, points = skeleton.points;
  const exact = Math.min(player.seconds / pose.seconds * pose.frames, pose.frames - 1);
  const frame = Math.floor(exact), next = Math.min(frame + 1, pose.frames - 1), part = calm.matches ? 0 : exact - frame;
  const at = (point) => {
    const a = 2 * (frame * points + point), b = 2 * (next * points + point);
    if (bytes[a] === data.absent) return null;
    const other = bytes[b] === data.absent ? a : b;
    return [(bytes[a] + part * (bytes[other] - bytes[a])) * scale, (bytes[a + 1] + part * (bytes[other + 1] - bytes[a + 1])) * scale];
  };
  const body = color("--body"), hand = color("--hand");
  context.clearRect(0, 0, size, size);
  context.lineCap = "round";
  for (const [one, other] of skeleton.edges) {
    const a = at(one), b = at(other);
    if (!a || !b) continue;
    context.strokeStyle = hands.has(one) ? hand : body;
    context.lineWidth = hands.has(one) ? 3 : 5;
    context.beginPath(); context.moveTo(a[0], a[1]); context.lineTo(b[0], b[1]); context.stroke();
  }
  for (let point = 0; point < points; point++) {
    const a = at(point);
    if (!a) continue;
    const isHand = hands.has(point), half = isHand ? 2.6 : 2;
    if (!isHand && lined.has(point)) continue;
    context.fillStyle = isHand ? hand : body;
    context.fillRect(a[0] - half, a[1] - half, 2 * half, 2 * half);
  }
}
function show(player) {
  player.button.textContent = player.playing ? "Pause" : "Play";
  player.scrub.value = String(player.seconds);
  player.scrub.setAttribute("aria-valuetext", player.seconds.toFixed(1) + " of " + player.length.toFixed(1) + " seconds");
  player.clock.textContent = player.seconds.toFixed(1) + " / " + player.length.toFixed(1) + " s";
  draw(player);
}
let last = performance.now(), ticking = false;
function tick(now) {
  const passed = Math.max(now - last, 0) / 1000;
  last = now;
  let playing = false;
  for (const player of players) {
    if (!player.playing) continue;
    playing = true;
    player.seconds = (player.seconds + passed * (player.slow ? SLOW : 1)) % player.length;
    show(player);
  }
  ticking = playing;
  if (playing) requestAnimationFrame(tick);
}
function start() {
  if (ticking) return;
  ticking = true; last = performance.now();
  requestAnimationFrame(tick);
}
// Adds a canvas and its buttons to `side`; `told` is {label, by}: for who can't see it, and the id of its title.
// What is `under` the canvas comes between it and the buttons.
function addPlayer(pose, skeleton, side, told, under = []) {
  const canvas = make("canvas", "pose"), scrub = make("input"), row = make("div", "buttons");
  canvas.width = canvas.height = 480;
  canvas.setAttribute("role", "img"); canvas.setAttribute("aria-label", told.label);
  const player = { pose, skeleton, canvas, scrub, seconds: pose.seconds / 2, length: pose.seconds, playing: false, slow: false,
    hands: new Set(skeleton.hands), lined: new Set(skeleton.edges.flat()) };
  Object.assign(scrub, { type: "range", min: "0", max: String(player.length), step: "0.01" });
  scrub.setAttribute("aria-label", "Place in the clip"); scrub.setAttribute("aria-describedby", told.by);
  const button = make("button", "play", "Play"), slow = make("button", "slow", "Slow");
  button.type = slow.type = "button";
  slow.setAttribute("aria-pressed", "false"); slow.title = "A quarter of the speed";
  button.setAttribute("aria-describedby", told.by); slow.setAttribute("aria-describedby", told.by);
  player.button = button; player.clock = make("span", "soft");
  button.addEventListener("click", () => { player.playing = !player.playing; show(player); if (player.playing) start(); });
  slow.addEventListener("click", () => { player.slow = !player.slow; slow.setAttribute("aria-pressed", String(player.slow)); });
  scrub.addEventListener("input", () => { player.seconds = Number(scrub.value); player.playing = false; show(player); });
  row.append(button, slow, player.clock);
  side.append(canvas, ...under, scrub, row);
  players.add(player);
  unpack(pose, skeleton.points).then((bytes) => { player.bytes = bytes; show(player); });
  show(player);
  return player;
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => players.forEach(draw));

// Strokes as data: arrays of [x, y] in units of the canvas side. Pure functions, no DOM.

/** The strokes in QuickDraw's form, [[xs, ys], ...]; whole numbers are precise enough and short to send. */
export function toQuickDraw(strokes) {
  const whole = (value) => Math.round(value * 1000);
  return strokes.map((points) => [points.map(([x]) => whole(x)), points.map(([, y]) => whole(y))]);
}

/** Trace a stroke as one smooth curve through the middles of its segments. */
export function trace(context, points, scale) {
  const [first, ...rest] = points;
  context.beginPath();
  context.moveTo(first[0] * scale, first[1] * scale);
  if (rest.length === 0) context.lineTo(first[0] * scale, first[1] * scale + 0.01);
  for (let i = 1; i < points.length - 1; i++) {
    const [x, y] = points[i];
    const [nextX, nextY] = points[i + 1];
    context.quadraticCurveTo(x * scale, y * scale, ((x + nextX) / 2) * scale, ((y + nextY) / 2) * scale);
  }
  if (rest.length > 0) context.lineTo(rest.at(-1)[0] * scale, rest.at(-1)[1] * scale);
}

/** Whether an eraser of some radius, moved from a to b, meets the stroke. */
export function touches(points, a, b, radius) {
  if (points.length === 1) return distanceToSegment(points[0], a, b) <= radius;
  return points.slice(1).some((point, i) => segmentDistance(points[i], point, a, b) <= radius);
}

function segmentDistance(p, q, a, b) {
  if (cross(p, q, a, b)) return 0;
  return Math.min(
    distanceToSegment(p, a, b), distanceToSegment(q, a, b), distanceToSegment(a, p, q), distanceToSegment(b, p, q),
  );
}

function distanceToSegment([x, y], [ax, ay], [bx, by]) {
  const dx = bx - ax;
  const dy = by - ay;
  const squared = dx * dx + dy * dy;
  const t = squared === 0 ? 0 : Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / squared));
  return Math.hypot(x - ax - t * dx, y - ay - t * dy);
}

function cross(p, q, a, b) {
  const side = ([ox, oy], [ux, uy], [vx, vy]) => Math.sign((ux - ox) * (vy - oy) - (uy - oy) * (vx - ox));
  return side(p, q, a) * side(p, q, b) < 0 && side(a, b, p) * side(a, b, q) < 0;
}

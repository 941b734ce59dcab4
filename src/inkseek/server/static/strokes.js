// Strokes as data: { points: [[x, y], ...], width }, in units of the canvas side; width is a share of the pen's own.
// Pure functions, no DOM.

/** The strokes as a search example: QuickDraw's [[xs, ys], ...]; whole numbers are precise enough and short to send. */
export function toExample(strokes) {
  const whole = (value) => Math.round(value * 1000);
  return {
    strokes: strokes.map(({ points }) => [points.map(([x]) => whole(x)), points.map(([, y]) => whole(y))]),
    widths: strokes.map(({ width }) => width),
  };
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

/** Whether a disc, moved from a to b, meets the stroke. */
export function touches({ points }, a, b, radius) {
  if (points.length === 1) return distanceToSegment(points[0], a, b) <= radius;
  return points.slice(1).some((point, i) => segmentDistance(points[i], point, a, b) <= radius);
}

/** What is left of a stroke where a disc, moved from a to b, has rubbed: the stroke itself if they do not meet. */
export function rub(stroke, a, b, radius) {
  if (!touches(stroke, a, b, radius)) return [stroke];
  // The way is covered by discs that overlap by three quarters.
  const steps = Math.ceil(Math.hypot(b[0] - a[0], b[1] - a[1]) / (radius / 2));
  let left = [stroke.points];
  for (let i = 0; i <= steps; i++) {
    const t = steps === 0 ? 0 : i / steps;
    const centre = [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])];
    left = left.flatMap((points) => outside(points, centre, radius));
  }
  return left.map((points) => ({ ...stroke, points }));
}

/** The runs of a polyline that lie outside a disc. */
function outside(points, centre, radius) {
  const isOut = ([x, y]) => Math.hypot(x - centre[0], y - centre[1]) > radius;
  const runs = [];
  let run = isOut(points[0]) ? [points[0]] : [];
  const end = () => {
    // A crumb that was more than a dot before is swept away.
    if (run.length > 1 || (run.length === 1 && points.length === 1)) runs.push(run);
    run = [];
  };
  for (let i = 1; i < points.length; i++) {
    const [p, q] = [points[i - 1], points[i]];
    const between = (t) => [p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])];
    const [enters, leaves] = crossing(p, q, centre, radius);
    if (enters < leaves) {
      if (run.length > 0) run.push(between(enters));
      end();
      if (leaves < 1) run = [between(leaves)];
    }
    if (isOut(q)) run.push(q);
  }
  end();
  return runs;
}

/** The part [t0, t1] of the segment p to q that lies inside a disc; t0 >= t1 where none does. */
function crossing(p, q, centre, radius) {
  const [dx, dy] = [q[0] - p[0], q[1] - p[1]];
  const [fx, fy] = [p[0] - centre[0], p[1] - centre[1]];
  const [a, b, c] = [dx * dx + dy * dy, fx * dx + fy * dy, fx * fx + fy * fy - radius * radius];
  if (a === 0) return c < 0 ? [0, 1] : [1, 0];
  const root = b * b - a * c;
  if (root <= 0) return [1, 0];
  return [Math.max(0, (-b - Math.sqrt(root)) / a), Math.min(1, (-b + Math.sqrt(root)) / a)];
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

// The last fifteen minutes of `/live`, and what happened between two of its snapshots. Counters begin anew when the server does.

const KEPT_S = 15 * 60;

let kept = [];

export const KEPT = KEPT_S;
export const last = () => kept.at(-1);

/** Snapshots in any order, some perhaps twice. */
export function add(snapshots) {
  const byTime = new Map([...kept, ...snapshots].map((one) => [one.now, one]));
  kept = [...byTime.values()].sort((a, b) => a.now - b.now);
  const since = kept.at(-1).now - KEPT_S;
  kept = kept.filter((one) => one.now >= since);
}

/** What happened in the `length` seconds before a snapshot; null where nobody looked or the server was restarted. */
export function over(length, end = kept.length - 1) {
  const b = kept[end];
  let start = end;
  while (start > 0 && kept[start - 1].now >= b.now - length - 1 && kept[start - 1].started === b.started) start -= 1;
  return start === end ? null : between(kept[start], b);
}

/** One for each snapshot; where nobody looked, there is nothing. */
export const points = (length) => kept.map((one, index) => ({ at: one.now, snapshot: one, did: over(length, index) }));

function between(a, b) {
  const seconds = b.now - a.now;
  const calls = b.calls.total - a.calls.total;
  const late = (b.refused.too_late ?? 0) - (a.refused.too_late ?? 0);
  const cache = less(b.calls.by_cache, a.calls.by_cache);
  const found = (cache.fresh ?? 0) + (cache.stale ?? 0);
  const judged = found + (cache.miss ?? 0);
  return {
    seconds,
    calls,
    rate: calls / seconds,
    blocked: b.blocked - a.blocked,
    wouldBlock: b.would_block - a.would_block,
    inTime: calls + late ? (b.calls.in_time - a.calls.in_time) / (calls + late) : null,
    hit: judged ? found / judged : null,
    statuses: less(b.calls.by_status, a.calls.by_status),
    refused: less(b.refused, a.refused),
    sources: Object.fromEntries(Object.entries(b.sources).map(([name, all]) => [name, less(all, a.sources[name] ?? {})])),
    bugs: b.bugs - a.bugs,
    dropped: b.log_dropped - a.log_dropped,
    quantile: (share) => quantile(share, a.call_seconds, b.call_seconds),
  };
}

function less(b, a) {
  return Object.fromEntries(Object.entries(b).map(([word, count]) => [word, count - (a[word] ?? 0)]));
}

/** Seconds, interpolated within the bucket that it falls into; beyond the last bucket, its bound. Null without calls. */
export function quantile(share, a, b) {
  const counts = b.count.map((count, index) => count - (a.count[index] ?? 0)); // before the first call there are no buckets
  const total = b.total - a.total;
  if (total <= 0) return null;
  const wanted = share * total;
  const index = counts.findIndex((count) => count >= wanted && count > 0);
  if (index < 0) return b.le.at(-1);
  const below = index ? counts[index - 1] : 0;
  const from = index ? b.le[index - 1] : 0;
  return from + ((b.le[index] - from) * (wanted - below)) / (counts[index] - below || 1);
}

-- server_wrk.lua - the bodies of a file, one a line, sent in turn by wrk; and its figures as JSON:
--   wrk ... -s bench/server_wrk.lua URL -- BODIES
local bodies, next_one = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    bodies[#bodies + 1] = line
  end
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  next_one = next_one % #bodies + 1
  return wrk.format("POST", nil, nil, bodies[next_one])
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"wrk": "closed loop", "per_second": %.1f, "failed": %d, "ms": {"p50": %.3f, "p99": %.3f}}\n',
    summary.requests / summary.duration * 1e6, e.connect + e.read + e.write + e.timeout + e.status,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end

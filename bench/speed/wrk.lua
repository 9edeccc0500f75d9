-- Sends prepared requests in turn, and says in one line what came of it.
-- The file holds each request behind a line with its length in bytes.
local requests, at = {}, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local length = file:read("*n")
  while length do
    file:read(1)
    requests[#requests + 1] = file:read(length)
    length = file:read("*n")
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50.0), latency:percentile(99.0), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end

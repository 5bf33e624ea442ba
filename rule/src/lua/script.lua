local tables

-- A table of values by pattern: a host, "*.suffix" or "*".
local function add(values, pattern, value)
  local suffix = pattern:match("^%*%.(.+)$")
  if suffix then
    values.suffixes[suffix] = value
    values.longest = math.max(values.longest, #suffix)
  else
    values.exact[pattern] = value
  end
end

-- Most filter chains never need the tables, so they are built for the first request that does.
local function build()
  local function new()
    return { exact = {}, suffixes = {}, longest = 0 }
  end
  local built = { actions = new(), trusted = new(), servers = new(), protocols = {} }
  for pattern, value in hosts:lower():gmatch("(%S+)=(%S+)") do
    add(built.actions, pattern, value)
  end
  for pattern in trusted_sni:lower():gmatch("%S+") do
    add(built.trusted, pattern, true)
  end
  for version in protocols:gmatch("%S+") do
    built.protocols[version] = true
  end
  -- A word with a colon at its end is the suffix of the following hosts. Any other word is a server.
  local suffix, server = "", 0
  for word in servers:lower():gmatch("%S+") do
    if word:sub(-1) == ":" then
      suffix = word:sub(1, -2)
    else
      server = server + 1
      for host in word:gmatch("[^,]+") do
        if host:sub(-1) == "." then
          host = host:sub(1, -2)
        elseif host == "@" then
          host = suffix
        elseif suffix ~= "" then
          host = host .. "." .. suffix
        end
        add(built.servers, host, server)
      end
    end
  end
  -- Each collection of garbage goes through the tables. It waits until the memory has grown by 125 %; Lua's own
  -- setting is 100 %.
  collectgarbage("setpause", 225)
  return built
end

-- The value of the most specific pattern that covers a host.
local function best(values, host)
  local value = values.exact[host]
  -- A wildcard needs something before its dot. A suffix is never longer than the longest pattern.
  local dot = host:find(".", math.max(2, #host - values.longest), true)
  while value == nil and dot do
    value = values.suffixes[host:sub(dot + 1)]
    dot = host:find(".", dot + 1, true)
  end
  return value or values.exact["*"]
end

-- The text that Envoy looks up in its route table: without the last colon and everything after it, unless a
-- bracket comes after that colon.
local function host_of(authority)
  -- Most authorities have no colon, and a plain search for one costs less than a pattern.
  local colon = authority:find(":", 1, true) and authority:match("^.*():")
  if colon and not authority:find("]", colon, true) then
    authority = authority:sub(1, colon - 1)
  end
  return authority:lower()
end

-- Envoy has counters for scripts since 1.38. A gateway of Istio shows them with the pod annotation
-- sidecar.istio.io/statsInclusionRegexps: .*sni_guard.*
local function count(handle, result, reason)
  if handle.stats then
    handle:stats():counter("sni_guard." .. result .. "." .. reason):inc(1)
  end
end

-- Whether the request is misdirected, as a reason and an action. Else the reason why it passes, if it counts.
local function compare(stream, sni, authority)
  local host = host_of(authority)
  -- A client may send a trailing dot in the authority but not in the SNI.
  local name = host:sub(-1) == "." and host:sub(1, -2) or host
  sni = sni:lower()
  if sni == "" then
    if missing_sni ~= "reject" or not stream:downstreamSslConnection() then
      return nil, "no_sni"
    end
  elseif sni == host or sni == name then
    return nil, nil
  end
  tables = tables or build()
  if sni ~= "" and best(tables.trusted, sni) then
    return nil, "trusted_sni"
  end
  local host_action = best(tables.actions, name) or action
  if host_action == "off" then
    return nil, "off"
  elseif sni == "" then
    return "no_sni", host_action
  elseif rule == "exact" then
    return "not_equal", host_action
  end
  local server = best(tables.servers, name)
  if not server then
    return nil, nil
  end
  local connection = best(tables.servers, sni)
  if connection == server then
    -- Legitimate reuse is frequent, and to count it would cost half as much again as to decide it.
    return nil, nil
  elseif connection then
    return "other_server", host_action
  elseif unlisted_sni == "reject" then
    return "unlisted_sni", host_action
  end
  return nil, nil
end

-- gRPC clients do not retry a call after 421. gRPC-Web comes from browsers, which retry.
local function is_grpc(headers)
  local rest = (headers:get("content-type") or ""):match("^application/grpc(.*)$")
  return rest ~= nil and (rest == "" or rest:sub(1, 1) == "+")
end

-- The reason why a misdirected request passes.
local function exemption(stream, headers)
  -- Envoy follows a redirect itself: the client requested another host.
  local redirects = stream.filterState and stream:filterState():get("num_internal_redirects")
  if redirects and tonumber(redirects) ~= 0 then
    return "internal_redirect"
  end
  -- The authority of CONNECT is the destination of a tunnel.
  if headers:get(":method") == "CONNECT" and not headers:get(":protocol") then
    return "connect"
  end
  local version = stream:protocol():match("^HTTP/(%d)")
  if not tables.protocols["h" .. (version or "")] then
    return "protocol"
  end
  if grpc == "pass" and is_grpc(headers) then
    return "grpc"
  end
end

local function reject(handle, headers)
  handle:respond({
    [":status"] = "421",
    ["content-type"] = "text/plain; charset=utf-8",
    -- RFC 7540 section 9.1.2 allowed caches to store a 421.
    ["cache-control"] = "no-store",
    -- UNAVAILABLE, which gRPC clients may retry.
    ["grpc-status"] = is_grpc(headers) and "14" or nil,
  }, "421 Misdirected Request\n"
    .. "This connection belongs to another server. Repeat the request on a new connection.\n")
end

function envoy_on_request(handle)
  local stream, headers = handle:streamInfo(), handle:headers()
  local sni, authority = stream:requestedServerName(), headers:get(":authority") or ""
  if sni == authority and sni ~= "" then
    return
  end
  local misdirection, detail = compare(stream, sni, authority)
  local pass = detail
  if misdirection then
    pass = exemption(stream, headers)
  end
  if pass then
    count(handle, "passed", pass)
  elseif misdirection then
    -- Access logs can show it: %DYNAMIC_METADATA(sni_guard:reason)%
    stream:dynamicMetadata():set("sni_guard", "reason", misdirection)
    if detail == "enforce" then
      count(handle, "enforced", misdirection)
      reject(handle, headers)
    else
      count(handle, "reported", misdirection)
    end
  end
end

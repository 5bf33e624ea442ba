-- Runs scripts on requests, with objects in place of Envoy's. It reads lines from stdin:
--
--   script HEX
--   SNI AUTHORITY TLS REDIRECTS METHOD EXTENDED PROTOCOL CONTENT-TYPE COUNTERS
--
-- and prints for each request what the latest script did: STATUS GRPC-STATUS REASON COUNTER. Texts are "=" and
-- their octets in hexadecimal digits. "-" is nil, or false.

local function text(field)
  if field == "-" then
    return nil
  end
  return (field:sub(2):gsub("%x%x", function(octet)
    return string.char(tonumber(octet, 16))
  end))
end

-- A script may read these globals, and define the function that Envoy calls.
local function load_script(source)
  local entry
  local environment = setmetatable({}, {
    __index = function(_, name)
      local global = ({ collectgarbage = collectgarbage, math = math, tonumber = tonumber })[name]
      return global or error("the script reads the global " .. name)
    end,
    __newindex = function(_, name, value)
      if name ~= "envoy_on_request" then
        error("the script writes the global " .. name)
      end
      entry = value
    end,
  })
  setfenv(assert(loadstring(source)), environment)()
  return entry
end

-- What Envoy offers a script. Any other method is nil, so its call fails.
local function new_handle(request, answer)
  local function set_once(key, value)
    if answer[key] then
      error(key .. " is set twice")
    end
    answer[key] = value
  end
  local metadata = {
    set = function(_, namespace, key, value)
      assert(namespace == "sni_guard" and key == "reason")
      set_once("reason", value)
    end,
  }
  local filter_state = {
    get = function(_, name)
      assert(name == "num_internal_redirects")
      return request.redirects
    end,
  }
  local stream = {
    requestedServerName = function() return request.sni end,
    downstreamSslConnection = function() return request.tls and {} or nil end,
    protocol = function() return request.protocol end,
    filterState = function() return filter_state end,
    dynamicMetadata = function() return metadata end,
  }
  local headers = {
    [":authority"] = request.authority,
    [":method"] = request.method,
    [":protocol"] = request.extended and "websocket" or nil,
    ["content-type"] = request.content_type,
  }
  local handle = {
    streamInfo = function() return stream end,
    headers = function()
      return { get = function(_, name) return headers[name] end }
    end,
    -- Envoy does not go on with the script after this call.
    respond = function(_, response, body)
      assert(response["content-type"] == "text/plain; charset=utf-8")
      assert(response["cache-control"] == "no-store")
      assert(body:sub(1, 24) == "421 Misdirected Request\n")
      set_once("status", response[":status"])
      answer.grpc_status = response["grpc-status"]
      error(answer)
    end,
  }
  if request.counters then
    handle.stats = function()
      return {
        counter = function(_, name)
          return {
            inc = function(_, number)
              assert(number == 1)
              set_once("counter", name)
            end,
          }
        end,
      }
    end
  end
  return handle
end

local entry
for line in io.lines() do
  local fields = {}
  for field in line:gmatch("%S+") do
    fields[#fields + 1] = field
  end
  if fields[1] == "script" then
    entry = load_script(text("=" .. fields[2]))
  else
    local answer = {}
    local request = {
      sni = text(fields[1]),
      authority = text(fields[2]),
      tls = fields[3] ~= "-",
      redirects = text(fields[4]),
      method = fields[5],
      extended = fields[6] ~= "-",
      protocol = fields[7],
      content_type = text(fields[8]),
      counters = fields[9] ~= "-",
    }
    local is_done, fault = pcall(entry, new_handle(request, answer))
    if not is_done and fault ~= answer then
      error(line .. ": " .. tostring(fault))
    end
    print(answer.status or "-", answer.grpc_status or "-", answer.reason or "-", answer.counter or "-")
  end
end

-- Given `call`, which calls a Python function: it returns true and a result, false and a message, or nil and something
-- that has to be awaited. Returns the functions that `LuaRuntime` needs.
local call = ...
local drives = setmetatable({}, {__mode = "k"})  -- the coroutines that Python resumes when an awaited result is there

io.stdout:setvbuf("line")  -- what waits in a buffer of C would be lost when a process is killed

local function await(awaited)
  if not drives[coroutine.running() or 0] then
    error("only a handler can wait, outside the coroutines that it makes itself", 3)
  end
  local done, result = coroutine.yield(awaited)
  if not done then error(result, 3) end
  return result
end

local function expose(fn)
  return function(...)
    local done, result = call(fn, ...)
    if done == false then error(result, 2) end
    if done == nil then result = await(result) end
    return result
  end
end

local function drive(fn, ...)
  drives[coroutine.running()] = true
  fn(...)
end

local function name_of(fn)
  for name, value in pairs(_G) do
    if value == fn then return name end
  end
  return "<line " .. debug.getinfo(fn, "S").linedefined .. ">"
end

return {
  expose = expose, drive = drive, name_of = name_of,
  load = loadstring or load, seed = math.randomseed, traceback = debug.traceback,
}

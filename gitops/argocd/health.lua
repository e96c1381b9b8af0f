-- Argo CD's health of an FtlApp, from its status. Argo CD runs Lua 5.1: nothing newer may be used here.

local function condition(kind)
  for _, item in ipairs(obj.status.conditions or {}) do
    if item.type == kind then
      return item
    end
  end
  return nil
end

local function is_true(item)
  return item ~= nil and item.status == "True"
end

local function health(status, message)
  return { status = status, message = message or "" }
end

local function said(item)
  return (item.reason or "") .. ": " .. (item.message or "")
end

if obj.spec ~= nil and obj.spec.suspend == true then
  return health("Suspended", "spec.suspend is true")
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "the operator has not seen this generation yet")
end

local ready, stalled, reconciling = condition("Ready"), condition("Stalled"), condition("Reconciling")
if is_true(stalled) then
  return health("Degraded", said(stalled))
end
if is_true(reconciling) then
  return health("Progressing", said(reconciling))
end
if is_true(ready) then
  return health("Healthy", said(ready))
end
if ready ~= nil and ready.status == "False" then
  return health("Degraded", said(ready))
end
return health("Progressing", "the app's state is not known yet")

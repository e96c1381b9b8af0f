-- Have the operator look at the app now, moved tags included. The status echoes the time when that is done.

local os = require("os")

if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["ftl.tools/reconcile"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj

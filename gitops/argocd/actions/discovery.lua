-- Which actions Argo CD offers for an FtlApp.

local is_suspended = obj.spec ~= nil and obj.spec.suspend == true

local actions = {}
actions["reconcile"] = { ["disabled"] = is_suspended }
actions["suspend"] = { ["disabled"] = is_suspended }
actions["resume"] = { ["disabled"] = not is_suspended }
return actions

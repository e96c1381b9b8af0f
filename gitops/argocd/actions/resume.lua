-- Bring the app's pods back. The field goes away, as in a file that never had it.

if obj.spec ~= nil then
  obj.spec.suspend = nil
end
return obj

# Removes a file. A directory is refused.
#
# in:   {"path": "C:\\Users\\Steam\\old.txt"}
# out:  {"changed": true, "before": true, "after": false, "reboot_required": false}       before, after: whether it was, is there
#
# File.Delete says nothing about a file that is not there; a link is removed itself, not what it points to.
# https://learn.microsoft.com/dotnet/api/system.io.file.delete
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$path = [string] $wanted.path
if (-not [System.IO.Path]::IsPathRooted($path)) { throw "'$path' is not a full path: begin with a drive, as in C:\Users." }
if ([System.IO.Directory]::Exists($path)) { throw "'$path' is a directory: only a file is removed here." }

$before = [System.IO.File]::Exists($path)
if ($before) { [System.IO.File]::Delete($path) }

$answer = [ordered] @{ changed = $before; before = $before; after = [System.IO.File]::Exists($path); reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 2

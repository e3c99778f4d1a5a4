# Makes a directory with those above it, or removes one.
#
# in:   {"path": "C:\\WSL", "present": true, "contents": false}       contents: whether one that is not empty may be removed
# out:  {"changed": true, "before": false, "after": true, "reboot_required": false}       before, after: whether it was, is there
#
# A link or junction is removed itself, not what it points to, also further down:
# https://learn.microsoft.com/dotnet/api/system.io.directory.delete
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$path = [string] $wanted.path
if (-not [System.IO.Path]::IsPathRooted($path)) { throw "'$path' is not a full path: begin with a drive, as in C:\Users." }
if ([System.IO.File]::Exists($path)) { throw "'$path' is a file, and a directory is meant." }

$before = [System.IO.Directory]::Exists($path)
if ($wanted.present -and -not $before) { [void] [System.IO.Directory]::CreateDirectory($path) }
if (-not $wanted.present -and $before) {
    if (-not $wanted.contents -and @([System.IO.Directory]::GetFileSystemEntries($path)).Count -gt 0) {
        throw "'$path' is not empty, so it stays: say contents to remove it with all that is in it."
    }
    [System.IO.Directory]::Delete($path, [bool] $wanted.contents)
}
$after = [System.IO.Directory]::Exists($path)
$answer = [ordered] @{ changed = $before -ne $after; before = $before; after = $after; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 2

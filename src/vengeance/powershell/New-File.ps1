# Makes an empty file, unless a file is there already; its content stays.
#
# in:   {"path": "C:\\Users\\Steam\\.hushlogin"}       its folder must exist
# out:  {"changed": true, "before": false, "after": true, "reboot_required": false}       before, after: whether it was, is there
#
# CreateNew fails when somebody else has made it meanwhile: https://learn.microsoft.com/dotnet/api/system.io.filemode
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$path = [string] $wanted.path
if (-not [System.IO.Path]::IsPathRooted($path)) { throw "'$path' is not a full path: begin with a drive, as in C:\Users." }
if ([System.IO.Directory]::Exists($path)) { throw "'$path' is a directory, and a file is wanted there." }

$before = [System.IO.File]::Exists($path)
if (-not $before) {
    [System.IO.FileStream]::new($path, [System.IO.FileMode]::CreateNew, [System.IO.FileAccess]::Write, [System.IO.FileShare]::Read).Dispose()
}
$answer = [ordered] @{ changed = -not $before; before = $before; after = [System.IO.File]::Exists($path); reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 2

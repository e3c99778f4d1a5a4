# Reads what is at a path: a file, a directory, or nothing. Changes nothing.
#
# in:   {"path": "C:\\Users\\Steam\\.wslconfig"}
# out:  {"exists": true, "type": "file", "size": 41, "modified": "2026-02-09T07:12:44Z", "attributes": ["Archive"],
#        "link_target": null}
#       nothing there: {"exists": false, "type": null, "size": null, "modified": null, "attributes": null, "link_target": null}
#
# size is in bytes, null for a directory. A link is described itself, not what it points to; link_target is where it points.
# GetAttributes throws for what is absent and for what may not be looked at, with different exceptions; Exists would say
# "no" to both: https://learn.microsoft.com/dotnet/api/system.io.file.getattributes
# A catch clause sees through the exception that a method call is wrapped in: about_Try_Catch_Finally
# Target of a link: https://learn.microsoft.com/powershell/module/microsoft.powershell.management/get-item (LinkType, Target)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$path = [string] $wanted.path
# Relative paths would start at the folder that WinRM happened to choose.
if (-not [System.IO.Path]::IsPathRooted($path)) { throw "'$path' is not a full path: begin with a drive, as in C:\Users." }

$answer = [ordered] @{ exists = $false; type = $null; size = $null; modified = $null; attributes = $null; link_target = $null }
try { $attributes = [System.IO.File]::GetAttributes($path) }
catch [System.IO.FileNotFoundException], [System.IO.DirectoryNotFoundException] {
    ConvertTo-Json -InputObject $answer -Compress -Depth 2
    return
}

$answer.exists = $true
$bits = [int] $attributes
$answer.attributes = @([Enum]::GetValues([System.IO.FileAttributes]) | Where-Object { $bits -band [int] $_ } |
        ForEach-Object { $_.ToString() })
if ($bits -band [int] [System.IO.FileAttributes]::Directory) {
    $answer.type = 'directory'
    $item = [System.IO.DirectoryInfo]::new($path)
}
else {
    $answer.type = 'file'
    $item = [System.IO.FileInfo]::new($path)
    $answer.size = $item.Length
}
$answer.modified = $item.LastWriteTimeUtc.ToString('s') + 'Z'
if ($bits -band [int] [System.IO.FileAttributes]::ReparsePoint) {
    $targets = @((Get-Item -LiteralPath $path -Force).Target)
    if ($targets.Count -gt 0 -and $targets[0]) { $answer.link_target = [string] $targets[0] }
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2

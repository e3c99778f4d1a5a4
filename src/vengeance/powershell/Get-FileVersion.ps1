# Reads the version that a program file tells. Changes nothing.
#
# in:   {"path": "C:\\Windows\\System32\\notepad.exe"}
# out:  {"version": "10.0.26100.4652"}       null: no such file, or it tells none
#
# Of the four numbers, as the text beside them need not be the same: https://learn.microsoft.com/dotnet/api/system.diagnostics.fileversioninfo
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$path = [string] $wanted.path
if (-not [System.IO.Path]::IsPathRooted($path)) { throw "'$path' is not a full path: begin with a drive, as in C:\Users." }

$answer = [ordered] @{ version = $null }
if ([System.IO.File]::Exists($path)) {
    $found = [System.Diagnostics.FileVersionInfo]::GetVersionInfo($path)
    if ($null -ne $found.FileVersion) {
        $answer.version = '{0}.{1}.{2}.{3}' -f $found.FileMajorPart, $found.FileMinorPart, $found.FileBuildPart, $found.FilePrivatePart
    }
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2

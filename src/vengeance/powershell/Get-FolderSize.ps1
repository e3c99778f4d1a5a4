# Reads how many bytes the files below some folders hold. Changes nothing.
#
# in:   {"paths": ["%USERPROFILE%\\.ollama\\models", "C:\\WSL"]}     %NAME% stands for the variables of this account
# out:  {"folders": [{"path": "C:\\Users\\Steam\\.ollama\\models", "bytes": 1929912432}, {"path": "C:\\WSL", "bytes": null}]}
#       in the order that was asked; bytes: null where no folder is
#
# What may not be looked into counts nothing. Links are not followed, or a file would count twice.
# https://learn.microsoft.com/dotnet/api/system.io.directoryinfo.getfilesysteminfos
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson

$folders = @()
foreach ($given in @($wanted.paths)) {
    $path = [Environment]::ExpandEnvironmentVariables([string] $given)
    $bytes = $null
    if ([System.IO.Directory]::Exists($path)) {
        $bytes = [long] 0
        $left = [System.Collections.Generic.Stack[System.IO.DirectoryInfo]]::new()
        $left.Push([System.IO.DirectoryInfo]::new($path))
        while ($left.Count -gt 0) {
            try { $entries = @($left.Pop().GetFileSystemInfos()) }
            catch [System.UnauthorizedAccessException], [System.IO.IOException] { continue }
            foreach ($entry in $entries) {
                if ([int] $entry.Attributes -band [int] [System.IO.FileAttributes]::ReparsePoint) { continue }
                if ($entry -is [System.IO.DirectoryInfo]) { $left.Push($entry) } else { $bytes += $entry.Length }
            }
        }
    }
    $folders += [ordered] @{ path = $path; bytes = $bytes }
}

$answer = [ordered] @{ folders = $folders }
ConvertTo-Json -InputObject $answer -Compress -Depth 3

# Reads the .wslconfig of the account that this script runs as. Changes nothing.
#
# in:   {}
# out:  {"path": "C:\\Users\\Steam\\.wslconfig", "text": "[wsl2]\r\nmemory=24GB\r\n"}
#       text: null where no file is; a byte-order mark is taken off
#
# WSL looks for it in the profile of the user whose distributions they are:
# https://learn.microsoft.com/windows/wsl/wsl-config#wslconfig
# https://learn.microsoft.com/dotnet/api/system.environment.specialfolder
# https://learn.microsoft.com/dotnet/api/system.io.file.readalltext
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$path = [System.IO.Path]::Combine([Environment]::GetFolderPath('UserProfile'), '.wslconfig')
$answer = [ordered] @{ path = $path; text = $null }
if ([System.IO.File]::Exists($path)) { $answer.text = [System.IO.File]::ReadAllText($path) }
ConvertTo-Json -InputObject $answer -Compress -Depth 2

# Reads the clock of Windows. Changes nothing.
#
# in:   {}
# out:  {"utc": "2026-02-09T07:12:44.1234567Z"}
#
# https://learn.microsoft.com/dotnet/standard/base-types/standard-date-and-time-format-strings#Roundtrip
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$answer = [ordered] @{ utc = [DateTime]::UtcNow.ToString('o') }
ConvertTo-Json -InputObject $answer -Compress -Depth 2

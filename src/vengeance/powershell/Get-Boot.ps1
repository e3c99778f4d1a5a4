# Reads when Windows was started. Changes nothing.
#
# in:   {}
# out:  {"boot_time": "2026-02-09T07:12:44Z", "boot_file_time": 134151091645000000, "uptime_seconds": 5021}
#
# boot_file_time is what tells one boot from another: a FILETIME, 100 ns steps since 1601-01-01 UTC.
# The DateTime that Get-CimInstance makes is local time; both conversions below take it to UTC.
# https://learn.microsoft.com/windows/win32/cimwin32prov/win32-operatingsystem (LastBootUpTime)
# https://learn.microsoft.com/dotnet/api/system.datetime.tofiletimeutc
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$boot = (Get-CimInstance -ClassName Win32_OperatingSystem -Property 'LastBootUpTime').LastBootUpTime.ToUniversalTime()

$answer = [ordered] @{
    boot_time = $boot.ToString('s') + 'Z'
    boot_file_time = $boot.ToFileTimeUtc()
    uptime_seconds = [long] [Math]::Floor(([DateTime]::UtcNow - $boot).TotalSeconds)
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2

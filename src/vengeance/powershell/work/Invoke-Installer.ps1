# Runs an installer and waits for its end, not for that of what it leaves running.
#
# in:   {"file": "C:\\Windows\\System32\\msiexec.exe", "arguments": "/i \"C:\\...\\wsl.msi\" /qn /norestart", "timeout_seconds": 1800,
#        "busy_seconds": 600, "pause_seconds": 10}
#       arguments: the rest of the command line; timeout_seconds: after it the installer and its children are ended;
#       busy_seconds: how long to try again while Windows Installer is busy with something else, every pause_seconds
# out:  {"rc": 0, "timed_out": false, "seconds": 41, "waited": 0}       rc: 0 to 4294967295; waited: seconds for another installation
# progress: {"phase": "installing", "seconds": 12}       phase: installing, waiting (for another installation)
#
# Start-Process -Wait waits for all descendants, so it never returns from an installer that starts its program; WaitForExit
# waits for the one process: https://learn.microsoft.com/dotnet/api/system.diagnostics.process.waitforexit
# Its outputs are not redirected: what it starts would hold them open.
# 1618: another installation runs. 1641, 3010: it is installed, and Windows has to restart:
# https://learn.microsoft.com/windows/win32/msi/error-codes
# That is kept where it is gone after a restart, in a volatile key, HKLM\SOFTWARE\vengeance\RebootRequired:
# https://learn.microsoft.com/dotnet/api/microsoft.win32.registryoptions
# https://learn.microsoft.com/windows-server/administration/windows-commands/taskkill
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$clock = [System.Diagnostics.Stopwatch]::StartNew()
$waited = 0
$timedOut = $false
$code = [long] 1618
while ($code -eq 1618) {
    $start = [System.Diagnostics.ProcessStartInfo]::new([string] $wanted.file, [string] $wanted.arguments)
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.WorkingDirectory = [System.IO.Path]::GetDirectoryName([string] $wanted.file)
    $process = [System.Diagnostics.Process]::Start($start)
    $running = [System.Diagnostics.Stopwatch]::StartNew()
    while (-not $process.WaitForExit(500)) {
        Save-Progress ([ordered] @{ phase = 'installing'; seconds = [int] $running.Elapsed.TotalSeconds }) # ps51: allow command
        if ($running.Elapsed.TotalSeconds -ge [double] $wanted.timeout_seconds) {
            $timedOut = $true
            $kill = [System.Diagnostics.ProcessStartInfo]::new("$env:SystemRoot\System32\taskkill.exe", "/PID $($process.Id) /T /F")
            $kill.UseShellExecute = $false
            $kill.CreateNoWindow = $true
            [void] [System.Diagnostics.Process]::Start($kill).WaitForExit(10000)
            [void] $process.WaitForExit(10000)
            break
        }
    }
    $code = [long] 1
    if (-not $timedOut) { $code = [long] $process.ExitCode -band [long] [uint32]::MaxValue }
    if ($code -eq 1618) {
        if ($waited -ge [double] $wanted.busy_seconds) { break }
        Save-Progress ([ordered] @{ phase = 'waiting'; seconds = [int] $waited }) # ps51: allow command
        [System.Threading.Thread]::Sleep([int] ([double] $wanted.pause_seconds * 1000))
        $waited += [double] $wanted.pause_seconds
    }
}

if ($code -eq 1641 -or $code -eq 3010) {
    $base = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
    # The key above must not be volatile itself.
    $base.CreateSubKey('SOFTWARE\vengeance').Dispose()
    $key = $base.CreateSubKey('SOFTWARE\vengeance\RebootRequired', $true, [Microsoft.Win32.RegistryOptions]::Volatile)
    $key.SetValue([System.IO.Path]::GetFileName([string] $wanted.file), [string] $wanted.arguments, 'String')
    $key.Dispose()
}
$answer = [ordered] @{ rc = $code; timed_out = $timedOut; seconds = [int] $clock.Elapsed.TotalSeconds; waited = [int] $waited }
ConvertTo-Json -InputObject $answer -Compress -Depth 2

# Restarts Windows in two seconds, unless it has been restarted since it was looked at.
#
# in:   {"boot_file_time": 134151091645000000}     the boot that is to be ended, from Get-BootState
# out:  {"changed": true, "before": {"boot_file_time": 134151091645000000}, "after": {"code": 0, "took_back": false},
#        "reboot_required": true}
#       code: what shutdown.exe ended with: 0 it is on the way, 1115 one is under way already; took_back: another one that
#       somebody had scheduled was taken back. changed false: this is another boot, and nothing was done
#
# Two seconds let this answer arrive. A restart that is scheduled already (1190) may be an hour away, so it is taken back.
# AutoLogonChecked goes, so that its return tells when the start is over; see Get-BootState.
# https://learn.microsoft.com/windows-server/administration/windows-commands/shutdown
# https://learn.microsoft.com/windows/win32/debug/system-error-codes--1000-1299- (1115, 1116, 1190)
# ansible.windows does so: https://github.com/ansible-collections/ansible.windows (plugins/plugin_utils/_reboot.py)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$inProgress = 1115
$scheduled = 1190

function Invoke-Shutdown([string] $arguments) {
    $start = [System.Diagnostics.ProcessStartInfo]::new("$env:SystemRoot\System32\shutdown.exe", $arguments)
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $process = [System.Diagnostics.Process]::Start($start)
    [void] $process.StandardOutput.ReadToEndAsync()
    [void] $process.StandardError.ReadToEndAsync()
    $process.WaitForExit()
    return $process.ExitCode
}

$boot = (Get-CimInstance -ClassName Win32_OperatingSystem -Property 'LastBootUpTime').LastBootUpTime.ToUniversalTime()
$now = $boot.ToFileTimeUtc()
$changed = $now -eq [long] $wanted.boot_file_time
$code = 0
$tookBack = $false
if ($changed) {
    $machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
    $machine.DeleteSubKeyTree('SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon\AutoLogonChecked', $false)
    # Planned, by an application, for its installation (0x00040002): for the event log.
    $code = Invoke-Shutdown '/r /t 2 /d p:4:2 /c "vengeance restarts Windows."'
    if ($code -eq $scheduled) {
        $tookBack = (Invoke-Shutdown '/a') -eq 0
        $code = Invoke-Shutdown '/r /t 2 /d p:4:2 /c "vengeance restarts Windows."'
    }
    if ($code -ne 0 -and $code -ne $inProgress) { throw "shutdown.exe /r ended with $code." }
}

$answer = [ordered] @{
    changed = $changed
    before = [ordered] @{ boot_file_time = $now }
    after = [ordered] @{ code = $code; took_back = $tookBack }
    reboot_required = $changed
}
ConvertTo-Json -InputObject $answer -Compress -Depth 3

# Says whether Tailscale stays connected with nobody logged on to Windows.
#
# in:   {"unattended": true}
# out:  {"changed": true, "before": false, "after": true, "reboot_required": false}
#
# https://tailscale.com/docs/how-to/run-unattended
# https://tailscale.com/docs/reference/tailscale-cli (set, debug prefs)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$program = [System.IO.Path]::Combine([string] $env:ProgramFiles, 'Tailscale', 'tailscale.exe')

function Invoke-Tailscale([string] $arguments) {
    $start = [System.Diagnostics.ProcessStartInfo]::new($program, $arguments)
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $start.StandardOutputEncoding = [System.Text.UTF8Encoding]::new($false)
    $process = [System.Diagnostics.Process]::Start($start)
    $complaint = $process.StandardError.ReadToEndAsync()
    $text = $process.StandardOutput.ReadToEnd()
    $process.WaitForExit()
    if ($process.ExitCode -ne 0) { throw "tailscale.exe $arguments failed: $($complaint.Result)" }
    return $text
}

function Test-Unattended {
    return [bool] (ConvertFrom-Json -InputObject (Invoke-Tailscale 'debug prefs')).ForceDaemon
}

$before = Test-Unattended
if ($before -ne [bool] $wanted.unattended) {
    if ($wanted.unattended) { [void] (Invoke-Tailscale 'set --unattended=true') }
    else { [void] (Invoke-Tailscale 'set --unattended=false') }
}
$after = Test-Unattended
if ($after -ne [bool] $wanted.unattended) { throw 'tailscale.exe set --unattended had no effect.' }

$answer = [ordered] @{ changed = $before -ne $after; before = $before; after = $after; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 2

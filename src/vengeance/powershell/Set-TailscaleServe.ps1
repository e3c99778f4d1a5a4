# Makes Tailscale forward a TCP port of its address to a port of this box's 127.0.0.1, or no longer.
#
# in:   {"port": 8080, "target_port": 8080}                 target_port: null ends it
# out:  {"changed": true, "before": null, "after": "127.0.0.1:8080", "reboot_required": false}
#
# It stays over reboots. tailscaled takes the connections before Windows sees them, so no firewall rule is needed, and nothing
# that listens on the port is in its way: https://github.com/tailscale/tailscale/blob/main/ipn/ipnlocal/serve.go
# https://tailscale.com/docs/reference/tailscale-cli/serve
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$port = [int] $wanted.port
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

function Get-Target {
    $served = (ConvertFrom-Json -InputObject (Invoke-Tailscale 'serve status --json')).TCP
    if ($null -eq $served) { return $null }
    $handler = $served.PSObject.Properties["$port"]
    if ($null -eq $handler -or -not $handler.Value.TCPForward) { return $null }
    return [string] $handler.Value.TCPForward
}

$target = $null
if ($null -ne $wanted.target_port) { $target = "127.0.0.1:$([int] $wanted.target_port)" }
$before = Get-Target
if ([string] $before -ne [string] $target) {
    if ($null -eq $target) { [void] (Invoke-Tailscale "serve --tcp=$port off") }
    else { [void] (Invoke-Tailscale "serve --bg --tcp=$port tcp://$target") }
}
$after = Get-Target
if ([string] $after -ne [string] $target) { throw "tailscale.exe serve had no effect on port $port." }

$answer = [ordered] @{
    changed = [string] $before -ne [string] $after
    before = $before
    after = $after
    reboot_required = $false
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2

# Reads what Tailscale is on this box: its state, addresses, settings and what it serves. No key is read. Changes nothing.
#
# in:   {}
# out:  {"installed": true, "version": "1.86.2", "state": "Running", "online": true,
#        "addresses": ["100.98.226.75", "fd7a:115c:a1e0::1"], "dns_name": "vengeance.tail1234.ts.net", "tags": [],
#        "key_expiry": "2027-02-01T08:00:00Z", "unattended": true,
#        "serve": [{"port": 8080, "kind": "tcp", "target": "127.0.0.1:8080"}]}
#       state: NoState, NeedsLogin, NeedsMachineAuth, Stopped, Starting or Running, or NoService when its service does not run,
#       which answers all questions but the first; online: whether the coordination server
#       sees it; key_expiry: null where the key does not expire; unattended: whether it stays with nobody logged on;
#       kind: tcp, http, https or tls-terminated-tcp; target: null for what is no forwarded port
#
# All of it comes from the JSON that tailscale.exe prints. Without it installed, everything else is null or empty.
# https://tailscale.com/docs/reference/tailscale-cli (status, debug prefs, serve status)
# https://github.com/tailscale/tailscale/blob/main/ipn/ipnstate/ipnstate.go (Status)
# https://github.com/tailscale/tailscale/blob/main/ipn/prefs.go (ForceDaemon) and serve.go (TCPPortHandler)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$program = "$env:ProgramFiles\Tailscale\tailscale.exe"
$installed = Test-Path -LiteralPath $program -PathType 'Leaf'

function Get-Answer([string] $arguments) {
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
    return ConvertFrom-Json -InputObject $text
}

# ConvertFrom-Json makes a date of some texts and leaves others.
function Get-Utc($moment) {
    if ($null -eq $moment) { return $null }
    $style = [System.Globalization.DateTimeStyles] 'AssumeUniversal, AdjustToUniversal'
    if ($moment -is [DateTime]) { $when = $moment.ToUniversalTime() }
    else { $when = [DateTime]::Parse([string] $moment, [System.Globalization.CultureInfo]::InvariantCulture, $style) }
    return $when.ToString('yyyy-MM-ddTHH:mm:ssZ', [System.Globalization.CultureInfo]::InvariantCulture)
}

function Get-Kind($handler) {
    if ($handler.TerminateTLS) { return 'tls-terminated-tcp' }
    if ($handler.TCPForward) { return 'tcp' }
    if ($handler.HTTPS) { return 'https' }
    return 'http'
}

$answer = [ordered] @{
    installed = $installed
    version = $null
    state = $null
    online = $false
    addresses = @()
    dns_name = $null
    tags = @()
    key_expiry = $null
    unattended = $false
    serve = @()
}
$service = $null
if ($installed) { $service = Get-Service -Name 'Tailscale' -ErrorAction 'SilentlyContinue' }
if ($installed -and ($null -eq $service -or $service.Status.ToString() -ne 'Running')) { $answer['state'] = 'NoService' }
elseif ($installed) {
    $status = Get-Answer 'status --json --peers=false'
    $answer['version'] = ([string] $status.Version).Split('-')[0]
    $answer['state'] = [string] $status.BackendState
    $answer['addresses'] = @($status.TailscaleIPs | Where-Object { $_ } | ForEach-Object { [string] $_ })
    if ($null -ne $status.Self) {
        $answer['online'] = [bool] $status.Self.Online
        $answer['dns_name'] = ([string] $status.Self.DNSName).TrimEnd('.')
        $answer['tags'] = @($status.Self.Tags | Where-Object { $_ } | ForEach-Object { [string] $_ })
        $answer['key_expiry'] = Get-Utc $status.Self.KeyExpiry
    }
    $answer['unattended'] = [bool] (Get-Answer 'debug prefs').ForceDaemon
    $served = (Get-Answer 'serve status --json').TCP
    if ($null -ne $served) {
        $answer['serve'] = @(
            foreach ($one in $served.PSObject.Properties) {
                $target = $null
                if ($one.Value.TCPForward) { $target = [string] $one.Value.TCPForward }
                [ordered] @{ port = [int] $one.Name; kind = Get-Kind $one.Value; target = $target }
            }
        )
    }
}
ConvertTo-Json -InputObject $answer -Compress -Depth 4

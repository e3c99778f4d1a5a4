# Reads what Tailscale is on this box: its state, addresses, settings and what it serves. No key is read. Changes nothing.
#
# in:   {}
# out:  {"installed": true, "version": "1.86.2", "account": "VENGEANCE\\Steam", "owner": null, "state": "Running",
#        "online": true, "addresses": ["100.98.226.75", "fd7a:115c:a1e0::1"], "dns_name": "vengeance.tail1234.ts.net",
#        "tags": [], "key_expiry": "2027-02-01T08:00:00Z", "unattended": true,
#        "serve": [{"port": 8080, "kind": "tcp", "target": "127.0.0.1:8080"}]}
#       account: the Windows account that asks; state: NoState, NeedsLogin, NeedsMachineAuth, Stopped, Starting or Running, or
#       NoService: its service does not run; InUseOtherUser: it belongs to the Windows account owner (null: it did not say to
#       which) and refuses this one; KeyExpired: the account is signed in, and the key of this machine holds no longer.
#       With the first two, nothing else is known. online: whether the coordination server sees it; key_expiry: null where
#       the key does not expire; unattended: whether it stays with nobody logged on;
#       kind: tcp, http, https or tls-terminated-tcp; target: null for what is no forwarded port
#
# All of it comes from the JSON that tailscale.exe prints. Without it installed, everything else is null or empty.
# Tailscale keeps its sign-ins per Windows account. Unattended, or with the owner at the screen, it refuses all others,
# administrators too; its words for that are English everywhere (tailscale#5219). Else each account has a state of its own.
# What SYSTEM has signed in refuses nobody, and is signed out by whoever asks (tailscale#12989): never sign in as SYSTEM.
# https://github.com/tailscale/tailscale/blob/main/ipn/ipnserver/server.go (checkConnIdentityLocked)
# https://github.com/tailscale/tailscale/blob/main/ipn/ipnlocal/local.go (CheckIPNConnectionAllowed, keyExpired)
# https://tailscale.com/docs/reference/tailscale-cli (status, debug prefs, serve status)
# https://github.com/tailscale/tailscale/blob/main/ipn/ipnstate/ipnstate.go (Status)
# https://github.com/tailscale/tailscale/blob/main/ipn/prefs.go (ForceDaemon, LoggedOut) and serve.go (TCPPortHandler)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$program = [System.IO.Path]::Combine([string] $env:ProgramFiles, 'Tailscale', 'tailscale.exe')
$installed = Test-Path -LiteralPath $program -PathType 'Leaf'

$refused = @{ reason = $null }

# $null where Tailscale says that it is another account's; $refused has its words then.
function Get-Answer([string] $arguments) {
    $start = [System.Diagnostics.ProcessStartInfo]::new($program, $arguments)
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $start.StandardOutputEncoding = [System.Text.UTF8Encoding]::new($false)
    # The names of accounts are among what it complains of.
    $start.StandardErrorEncoding = [System.Text.UTF8Encoding]::new($false)
    $process = [System.Diagnostics.Process]::Start($start)
    $complaint = $process.StandardError.ReadToEndAsync()
    $text = $process.StandardOutput.ReadToEnd()
    $process.WaitForExit()
    if ($process.ExitCode -eq 0) { return ConvertFrom-Json -InputObject $text }
    $reason = [string] $complaint.Result
    if ($reason -notmatch 'Tailscale (running in server mode|already in use)') {
        throw "tailscale.exe $arguments failed: $reason"
    }
    $refused.reason = $reason
    return $null
}

# The first is written by Go with each backslash doubled, or is a SID where the account is gone.
function Get-Owner([string] $reason) {
    if ($reason -match 'server mode \("([^"]+)"\)') { return $Matches[1].Replace('\\', '\') }
    if ($reason -match 'already in use by ([^,\r\n]+)') { return $Matches[1].Trim() }
    return $null
}

# An account that never signed in has no NodeID, and one that signed out says so.
function Test-KeyEnded($self, $preferences) {
    if ($null -ne $self -and $self.Expired) { return $true }
    return $null -ne $preferences.Config -and [bool] $preferences.Config.NodeID -and -not $preferences.LoggedOut
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
    account = "$([Environment]::UserDomainName)\$([Environment]::UserName)"
    owner = $null
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
    $preferences = Get-Answer 'debug prefs'
    $serving = Get-Answer 'serve status --json'
    if ($null -ne $refused.reason) {
        $answer['state'] = 'InUseOtherUser'
        $answer['owner'] = Get-Owner $refused.reason
    }
    else {
        $answer['version'] = ([string] $status.Version).Split('-')[0]
        $answer['state'] = [string] $status.BackendState
        $answer['addresses'] = @($status.TailscaleIPs | Where-Object { $_ } | ForEach-Object { [string] $_ })
        if ($null -ne $status.Self) {
            $answer['online'] = [bool] $status.Self.Online
            $answer['dns_name'] = ([string] $status.Self.DNSName).TrimEnd('.')
            $answer['tags'] = @($status.Self.Tags | Where-Object { $_ } | ForEach-Object { [string] $_ })
            $answer['key_expiry'] = Get-Utc $status.Self.KeyExpiry
        }
        if ($answer['state'] -eq 'NeedsLogin' -and (Test-KeyEnded $status.Self $preferences)) { $answer['state'] = 'KeyExpired' }
        $answer['unattended'] = [bool] $preferences.ForceDaemon
        if ($null -ne $serving -and $null -ne $serving.TCP) {
            $answer['serve'] = @(
                foreach ($one in $serving.TCP.PSObject.Properties) {
                    $target = $null
                    if ($one.Value.TCPForward) { $target = [string] $one.Value.TCPForward }
                    [ordered] @{ port = [int] $one.Name; kind = Get-Kind $one.Value; target = $target }
                }
            )
        }
    }
}
ConvertTo-Json -InputObject $answer -Compress -Depth 4

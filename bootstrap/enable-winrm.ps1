# Lets your other machine sign in to this Windows 11 over WinRM, with https and a password, and nothing else.
#
# How: open "Windows PowerShell" as administrator, paste all of this, press Enter. It downloads nothing, tells each
# step, and may be run again at any time: what is right stays as it is, the certificate too. `python -m vengeance
# bootstrap` prints it with your account and addresses filled in below. disable-winrm.ps1 undoes it.
#
# It changes: the service WinRM (started, from now on with Windows), one listener on port 5986 (https) with a
# certificate of its own, the listeners on 5985 (http; removed), one firewall rule, one value of the registry
# (LocalAccountTokenFilterPolicy; what that trades is told below), and, only if you say so, one new account.
#
# https://learn.microsoft.com/windows/win32/winrm/installation-and-configuration-for-windows-remote-management
# https://docs.ansible.com/ansible/latest/os_guide/windows_winrm.html
# https://learn.microsoft.com/troubleshoot/windows-server/windows-security/user-account-control-and-remote-restriction
& {
    param(
        # The account that signs in: a local administrator with a password. Empty: the one you are signed in with.
        [string] $Account = '',
        # Who may reach the port: the tailnet (IPv4 and IPv6), and the network that this machine is in.
        [string[]] $RemoteAddress = @('100.64.0.0/10', 'fd7a:115c:a1e0::/48', 'LocalSubnet'),
        # The address to print for your inventory. Empty: the one in the tailnet, or else the one in your network.
        [string] $BoxAddress = '',
        # Ask nothing, for a run that nobody watches: the account has to be right already, and no sign-in is tried.
        [switch] $Unattended,
        # The port of https.
        [int] $Port = 5986
    )
    $ErrorActionPreference = 'Stop'
    $mark = 'vengeance WinRM'
    $listenerUri = 'winrm/config/listener'

    function Write-Step([string] $text) { Write-Host "  $text" }
    function Write-Problem([string] $text) { Write-Host $text -ForegroundColor Yellow }
    function New-Login([string] $who, [securestring] $secret) {
        New-Object -TypeName Management.Automation.PSCredential -ArgumentList "$env:COMPUTERNAME\$who", $secret
    }

    # --- May this run here? `return` leaves the block; `exit` would close your window. ----------------------------
    if ($PSVersionTable.PSVersion.Major -ne 5 -or -not [Environment]::Is64BitProcess) {
        Write-Problem 'Nothing was changed: this is for "Windows PowerShell" 5.1 of 64 bit.'
        Write-Problem 'Open that one: not PowerShell 7, and not (x86).'
        return
    }
    $signedIn = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object -TypeName Security.Principal.WindowsPrincipal -ArgumentList $signedIn
    if (-not $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        Write-Problem 'Nothing was changed: this PowerShell has no administrator rights.'
        Write-Problem 'Press Win+X, choose "Terminal (Admin)", and paste again.'
        return
    }

    # --- Who signs in? ---------------------------------------------------------------------------------------------
    Write-Host 'The account'
    $user = $null
    foreach ($each in @(Get-LocalUser)) {
        if ($Account -ne '' -and $each.Name -eq $Account) { $user = $each }
        if ($Account -eq '' -and $each.SID.Value -eq $signedIn.User.Value) { $user = $each }
    }
    $name = $Account
    if ($null -ne $user) { $name = $user.Name }
    $reason = ''
    if ($null -eq $user -and $Account -ne '') { $reason = "There is no account $Account on this machine." }
    elseif ($null -eq $user) { $reason = "$($signedIn.Name) is not an account of this machine alone." }
    elseif (-not $user.Enabled) { $reason = "The account $name is switched off." }
    elseif ([string] $user.PrincipalSource -ne 'Local') {
        $reason = "$name is a Microsoft account: over the network Windows takes its password only, never a PIN."
    }
    $password = $null
    if ($reason -ne '') {
        if ($Unattended) { throw "Nothing was changed: $reason" }
        Write-Problem "  $reason"
        Write-Step 'Best is a local administrator of its own, who then owns Ollama and the Linux distro too.'
        $new = $name
        if ($null -ne $user -or $new -eq '') { $new = 'vengeance' }
        # A name that is the machine's too means the machine to much of Windows.
        if ($new -eq $env:COMPUTERNAME) { $new = 'deployer' }
        $answer = Read-Host -Prompt "  Make the local administrator '$new' now? Enter = yes, n = no, or another name"
        if ($answer -eq 'n' -and ($null -eq $user -or -not $user.Enabled)) {
            Write-Problem 'Nothing was changed: without an account that can sign in there is nothing to set up.'
            return
        }
        if ($answer -ne 'n') {
            if ($answer -ne '' -and $answer -ne 'y' -and $answer -ne 'yes') { $new = $answer }
            $known = @(Get-LocalUser | Where-Object { $_.Name -eq $new })
            if ($new -eq $env:COMPUTERNAME) {
                Write-Problem "Nothing was changed: $new is the name of this machine. Take another one."
                return
            }
            if ($known.Count -gt 0) {
                Write-Problem "Nothing was changed: there is an account $new already."
                Write-Problem 'Run this again with its name at Account (the first lines), or with another name.'
                return
            }
            while ($null -eq $password) {
                $first = Read-Host -Prompt "  A password for $new, 12 characters or more" -AsSecureString
                $second = Read-Host -Prompt '  The same once more' -AsSecureString
                $one = (New-Object -TypeName Net.NetworkCredential -ArgumentList '', $first).Password
                $two = (New-Object -TypeName Net.NetworkCredential -ArgumentList '', $second).Password
                if ($one -cne $two) { Write-Problem '  These were two different ones.' }
                elseif ($one.Length -lt 12) { Write-Problem '  That is too short.' }
                else { $password = $first }
            }
            $made = @{ Name = $new; Password = $password; Description = 'Deploys sign in with it; owns Ollama and WSL' }
            $user = New-LocalUser -PasswordNeverExpires -AccountNeverExpires @made
            $name = $user.Name
            Write-Step "The account $name is made."
        }
    }
    # The group is found by its SID: its name is translated.
    try {
        Add-LocalGroupMember -SID 'S-1-5-32-544' -Member $user.SID.Value
        Write-Step "$name is an administrator now."
    }
    catch [Microsoft.PowerShell.Commands.MemberExistsException] { Write-Step "$name is an administrator already." }
    if ($null -ne $password) {
        # Signing in once makes the folder of the account, where Ollama and .wslconfig will lie.
        try {
            $program = @{ FilePath = "$env:SystemRoot\System32\cmd.exe"; WorkingDirectory = $env:SystemRoot }
            Start-Process -ArgumentList '/c', 'exit' -LoadUserProfile -Credential (New-Login $name $password) @program
        }
        catch {
            Write-Problem "  Sign in once as $name at this machine, so that its folder is made. Windows said:"
            Write-Problem "  $($_.Exception.Message)"
        }
    }

    # --- Rights over the network ------------------------------------------------------------------------------------
    Write-Host 'Rights over the network'
    $machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
    $policies = $machine.CreateSubKey('SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System')
    if ($policies.GetValue('LocalAccountTokenFilterPolicy', 0) -ne 1) {
        $policies.SetValue('LocalAccountTokenFilterPolicy', 1, 'DWord')
    }
    Write-Step 'LocalAccountTokenFilterPolicy is 1.'
    Write-Step 'What that trades: a local administrator who signs in over the network has all rights at once, as nobody'
    Write-Step 'is there to answer "Do you want to allow this app...?". Whoever knows the password of one has this'
    Write-Step 'machine: choose a long one. Without this value only the built-in Administrator has those rights.'

    # --- The service ------------------------------------------------------------------------------------------------
    Write-Host 'The service'
    Set-Service -Name 'WinRM' -StartupType 'Automatic'
    Start-Service -Name 'WinRM'
    Write-Step 'WinRM runs, and starts with Windows.'
    foreach ($setting in 'AllowUnencrypted', 'Auth\Basic') {
        if ((Get-Item -Path "WSMan:\localhost\Service\$setting").Value -eq 'true') {
            # Windows refuses this one while a network is Public, so it is touched only if somebody switched it on.
            Set-Item -Path "WSMan:\localhost\Service\$setting" -Value $false -Force
            Write-Step "$setting was on and is off now."
        }
        else { Write-Step "$setting is off." }
    }

    # --- https in, http out -----------------------------------------------------------------------------------------
    Write-Host 'The listener'
    $https = $null
    foreach ($each in @(Get-WSManInstance -ResourceURI $listenerUri -Enumerate)) {
        if ($each.Transport -eq 'HTTP') {
            $which = @{ Address = [string] $each.Address; Transport = 'HTTP' }
            Remove-WSManInstance -ResourceURI $listenerUri -SelectorSet $which
            Write-Step "The http listener on port $($each.Port) is removed."
        }
        elseif ($each.Address -eq '*') { $https = $each }
    }
    $inUse = ''
    if ($null -ne $https) { $inUse = ([string] $https.CertificateThumbprint) -replace '\s', '' }
    $certificate = $null
    foreach ($each in @(Get-ChildItem -Path 'Cert:\LocalMachine\My')) {
        $good = $each.HasPrivateKey -and $each.NotAfter -gt (Get-Date).AddDays(30)
        if ($good -and $each.Thumbprint -eq $inUse) { $certificate = $each }
        if ($good -and $null -eq $certificate -and $each.FriendlyName -eq $mark) { $certificate = $each }
    }
    if ($null -eq $certificate) {
        # The other machine pins exactly this certificate, so nobody has to vouch for it. The key cannot be copied out.
        $wanted = @{
            Subject = "CN=$env:COMPUTERNAME"
            DnsName = @($env:COMPUTERNAME, 'localhost')
            FriendlyName = $mark
            CertStoreLocation = 'Cert:\LocalMachine\My'
            Provider = 'Microsoft Software Key Storage Provider'
            KeyAlgorithm = 'RSA'
            KeyLength = 3072
            HashAlgorithm = 'SHA256'
            KeyExportPolicy = 'NonExportable'
            NotAfter = (Get-Date).AddYears(10)
        }
        $certificate = New-SelfSignedCertificate @wanted
        Write-Step 'A certificate is made, for ten years.'
    }
    $right = $null -ne $https -and $https.Enabled -eq 'true' -and $inUse -eq $certificate.Thumbprint
    if ($right -and [string] $https.Port -eq [string] $Port) {
        Write-Step "The https listener on port $Port is there already."
    }
    else {
        $which = @{ Address = '*'; Transport = 'HTTPS' }
        if ($null -ne $https) { Remove-WSManInstance -ResourceURI $listenerUri -SelectorSet $which }
        $values = @{ Hostname = $env:COMPUTERNAME; Port = [string] $Port }
        $values.CertificateThumbprint = $certificate.Thumbprint
        $null = New-WSManInstance -ResourceURI $listenerUri -SelectorSet $which -ValueSet $values
        Write-Step "The https listener on port $Port is made."
    }

    # --- The firewall -----------------------------------------------------------------------------------------------
    Write-Host 'The firewall'
    $rule = @{
        Name = 'vengeance-winrm-https'
        Direction = 'Inbound'
        Action = 'Allow'
        Protocol = 'TCP'
        LocalPort = [string] $Port
        RemoteAddress = $RemoteAddress
        Profile = 'Any'
        Enabled = 'True'
    }
    $there = @(Get-NetFirewallRule -Name $rule.Name -ErrorAction 'SilentlyContinue')
    if ($there.Count -gt 0) { Set-NetFirewallRule @rule }
    else { $null = New-NetFirewallRule -DisplayName 'WinRM over https (vengeance)' @rule }
    Write-Step "Port $Port is open to $($RemoteAddress -join ', '), on Private and Public networks alike."
    foreach ($each in @(Get-NetFirewallRule -Name 'WINRM-HTTP-In-TCP*' -ErrorAction 'SilentlyContinue')) {
        if ([string] $each.Enabled -eq 'True') {
            Disable-NetFirewallRule -Name $each.Name
            Write-Step "Windows' own rule $($each.Name) for port 5985 (http) is switched off."
        }
    }
    foreach ($filter in @(Get-NetFirewallPortFilter -Protocol 'TCP')) {
        if (@($filter.LocalPort) -notcontains [string] $Port) { continue }
        $other = $filter | Get-NetFirewallRule
        if ($other.Name -eq $rule.Name -or [string] $other.Enabled -ne 'True') { continue }
        if ([string] $other.Direction -ne 'Inbound') { continue }
        Write-Problem "  Another rule for port $Port is on: '$($other.DisplayName)' ($($other.Action))."
        Write-Problem '  See it in wf.msc: an Allow may open the port to more than these addresses, a Block wins.'
    }
    foreach ($each in @(Get-NetFirewallProfile -PolicyStore 'ActiveStore')) {
        if ([string] $each.AllowInboundRules -ne 'False') { continue }
        Write-Problem "  On $($each.Name) networks Windows blocks all incoming connections, this one too."
        Write-Problem '  Clear that box in Windows Security, Firewall and network protection.'
    }

    # --- Does it work? ----------------------------------------------------------------------------------------------
    if (-not $Unattended) { Write-Host 'Trying it' }
    if ($null -eq $password -and -not $Unattended) {
        Write-Step "To sign in once as ${name}: its password, not the PIN. Enter alone leaves the trial out."
        $password = Read-Host -Prompt '  Password' -AsSecureString
    }
    if ($null -ne $password -and $password.Length -gt 0) {
        $way = @{
            ComputerName = 'localhost'
            Port = $Port
            UseSSL = $true
            Authentication = 'Negotiate'
            Credential = New-Login $name $password
            # The certificate is this machine's own, made above.
            SessionOption = New-WSManSessionOption -SkipCACheck -SkipCNCheck -SkipRevocationCheck
        }
        try {
            # Only an administrator with all rights may read the listeners.
            $null = Get-WSManInstance -ResourceURI $listenerUri -Enumerate @way
            Write-Step "$name signed in over https and has an administrator's rights."
        }
        catch {
            Write-Problem "  $name could not sign in over https: $($_.Exception.Message)"
            Write-Problem '  Most often it is not the password of the account (a PIN is none), or the account has none:'
            Write-Problem '  set one in Settings, Accounts, Sign-in options, sign in with it here, and run this again.'
        }
    }

    # --- What your other machine needs ------------------------------------------------------------------------------
    $sha256 = [Security.Cryptography.SHA256]::Create()
    $pin = [BitConverter]::ToString($sha256.ComputeHash($certificate.RawData)).Replace('-', '').ToLowerInvariant()
    $tailnet = ''
    $local = ''
    $routes = @(Get-NetRoute -DestinationPrefix '0.0.0.0/0' -ErrorAction 'SilentlyContinue')
    $addresses = @(Get-NetIPAddress)
    foreach ($each in $addresses) {
        # 100.64.0.0/10 is Tailscale's range.
        if ($each.IPAddress -match '^100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.') { $tailnet = $each.IPAddress }
        elseif ([string] $each.AddressFamily -eq 'IPv4') {
            # The home network is where the way out is; WSL and virtual machines have networks of their own.
            $way = @($routes | Where-Object { $_.InterfaceIndex -eq $each.InterfaceIndex })
            if ($way.Count -gt 0) { $local = $each.IPAddress }
        }
    }
    if ($tailnet -eq '') {
        Write-Problem 'Tailscale is not up here. Install it, sign in, and run: tailscale set --unattended'
    }
    $parsed = $null
    $isAddress = [Net.IPAddress]::TryParse($BoxAddress, [ref] $parsed)
    if ($isAddress -and @($addresses | Where-Object { $_.IPAddress -eq $BoxAddress }).Count -eq 0) {
        Write-Problem "This machine does not have the address $BoxAddress that was filled in: after a reinstall"
        Write-Problem 'Tailscale gives a new one. Take that, or give it the old one in the admin console (Edit IPv4).'
        $BoxAddress = ''
    }
    if ($BoxAddress -eq '') { $BoxAddress = $tailnet }
    if ($BoxAddress -eq '') { $BoxAddress = $local }
    Write-Host ''
    Write-Host 'Done. Put these three lines into inventory/home.py:' -ForegroundColor Green
    Write-Host ''
    Write-Host "            `"winrm_host`": `"$BoxAddress`","
    Write-Host "            `"winrm_user`": `"$name`","
    Write-Host "            `"winrm_certificate_sha256`": `"$pin`","
    if ($Port -ne 5986) { Write-Host "            `"winrm_port`": $Port," }
    Write-Host ''
} @args

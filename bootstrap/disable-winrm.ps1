# Undoes what enable-winrm.ps1 did: nobody signs in to this Windows over WinRM any more.
#
# How: at the machine itself, open "Windows PowerShell" as administrator, paste all of this, press Enter. It may be run
# again at any time. An account that was made stays, as it owns Ollama and the distro; the last line tells how to
# delete it.
& {
    $ErrorActionPreference = 'Stop'
    $mark = 'vengeance WinRM'
    $listenerUri = 'winrm/config/listener'

    $signedIn = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object -TypeName Security.Principal.WindowsPrincipal -ArgumentList $signedIn
    if (-not $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        Write-Host 'Nothing was changed: this PowerShell has no administrator rights.' -ForegroundColor Yellow
        Write-Host 'Press Win+X, choose "Terminal (Admin)", and paste again.' -ForegroundColor Yellow
        return
    }

    # First the door, so that it is shut whatever happens after.
    Get-NetFirewallRule -Name 'vengeance-winrm-https' -ErrorAction 'SilentlyContinue' | Remove-NetFirewallRule
    Write-Host 'The firewall rule is gone.'

    # The listeners can only be asked for while the service runs.
    Start-Service -Name 'WinRM'
    $certificates = @(Get-ChildItem -Path 'Cert:\LocalMachine\My' | Where-Object { $_.FriendlyName -eq $mark })
    $ours = @($certificates | ForEach-Object { $_.Thumbprint })
    foreach ($each in @(Get-WSManInstance -ResourceURI $listenerUri -Enumerate)) {
        $thumbprint = ([string] $each.CertificateThumbprint) -replace '\s', ''
        if ($each.Transport -eq 'HTTPS' -and $ours -contains $thumbprint) {
            $which = @{ Address = [string] $each.Address; Transport = 'HTTPS' }
            Remove-WSManInstance -ResourceURI $listenerUri -SelectorSet $which
            Write-Host "The https listener on port $($each.Port) is gone."
        }
    }
    foreach ($each in $certificates) {
        # -DeleteKey is a parameter that the drive Cert: adds.
        Remove-Item -Path "Cert:\LocalMachine\My\$($each.Thumbprint)" -DeleteKey # ps51: allow parameter
        Write-Host 'The certificate and its key are gone.'
    }

    $machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
    $policies = $machine.OpenSubKey('SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System', $true)
    $policies.DeleteValue('LocalAccountTokenFilterPolicy', $false)
    Write-Host 'LocalAccountTokenFilterPolicy is gone: over the network local administrators are like everybody else.'

    # A Windows 11 has the service stopped, to be started by hand. Another program's listener keeps it.
    if (@(Get-WSManInstance -ResourceURI $listenerUri -Enumerate).Count -eq 0) {
        Stop-Service -Name 'WinRM'
        Set-Service -Name 'WinRM' -StartupType 'Manual'
        Write-Host 'The service WinRM is stopped.'
    }
    else { Write-Host 'The service WinRM runs on: it has another listener, which enable-winrm.ps1 did not make.' }
    Write-Host 'If enable-winrm.ps1 made an account that you want gone (its folder stays): Remove-LocalUser -Name NAME'
}

# Reads which WSL is installed and which distributions the account that this script runs as has. Changes nothing.
#
# in:   {}
# out:  {"version": "2.6.1.0", "path": "C:\\Program Files\\WSL\\wsl.exe", "default": "Ubuntu-24.04", "distributions":
#        [{"name": "Ubuntu-24.04", "guid": "{...}", "version": 2, "default_uid": 1000, "base_path": "C:\\WSL\\Ubuntu",
#          "state": 1, "flags": 15}]}
#       no WSL from its package: version and path null; none registered: default null, distributions []
#
# wsl.exe is not run: what it prints is translated, and starting it can start an instance. The keys are those that
# microsoft/WSL writes: msipackage/package.wix.in (Lxss\MSI: InstallLocation, Version), service/exe/DistributionRegistration
# (Lxss\{GUID}: DistributionName, Version, DefaultUid, BasePath, State, Flags; State 1 is installed).
# Distributions belong to one Windows user: https://learn.microsoft.com/windows/wsl/troubleshooting
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$answer = [ordered] @{ version = $null; path = $null; default = $null; distributions = @() }
$lxss = 'SOFTWARE\Microsoft\Windows\CurrentVersion\Lxss'

$machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
$package = $machine.OpenSubKey("$lxss\MSI")
if ($null -ne $package) {
    $location = [string] $package.GetValue('InstallLocation', '')
    if ($location -ne '') {
        $answer.version = [string] $package.GetValue('Version', '')
        $answer.path = [System.IO.Path]::Combine($location, 'wsl.exe')
    }
}

$user = [Microsoft.Win32.RegistryKey]::OpenBaseKey('CurrentUser', 'Registry64')
$registered = $user.OpenSubKey($lxss)
if ($null -ne $registered) {
    $default = [string] $registered.GetValue('DefaultDistribution', '')
    foreach ($guid in $registered.GetSubKeyNames()) {
        $key = $registered.OpenSubKey($guid)
        $name = [string] $key.GetValue('DistributionName', '')
        # Other subkeys (AppxInstallerCache and the like) hold no distribution.
        if ($name -eq '') { continue }
        $answer.distributions += [ordered] @{
            name = $name
            guid = $guid
            version = [int] $key.GetValue('Version', 0)
            default_uid = [long] $key.GetValue('DefaultUid', 0)
            base_path = [string] $key.GetValue('BasePath', '')
            state = [int] $key.GetValue('State', 0)
            flags = [int] $key.GetValue('Flags', 0)
        }
        if ($guid -eq $default) { $answer.default = $name }
    }
}
ConvertTo-Json -InputObject $answer -Compress -Depth 3

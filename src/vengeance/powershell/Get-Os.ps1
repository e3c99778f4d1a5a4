# Reads which Windows this is. Changes nothing.
#
# in:   {}
# out:  {"caption": "Microsoft Windows 11 Pro", "version": "10.0.26100", "build": 26100, "ubr": 4652, "edition": "Professional",
#        "display_version": "24H2", "architecture": "AMD64", "hostname": "VENGEANCE", "domain": null,
#        "install_date": "2026-01-22T18:03:11Z"}
#
# caption is for a person: Windows translates it. The registry holds the update revision (UBR), which no WMI class has.
# https://learn.microsoft.com/windows/win32/cimwin32prov/win32-operatingsystem
# https://learn.microsoft.com/windows/win32/cimwin32prov/win32-computersystem
# PROCESSOR_ARCHITEW6432 is set in a 32-bit process on 64-bit Windows and names the machine's own architecture:
# https://learn.microsoft.com/windows/win32/winprog64/wow64-implementation-details
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$os = Get-CimInstance -ClassName Win32_OperatingSystem
$computer = Get-CimInstance -ClassName Win32_ComputerSystem
$machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
$current = $machine.OpenSubKey('SOFTWARE\Microsoft\Windows NT\CurrentVersion')
if ($null -eq $current) { throw 'HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion cannot be opened.' }
$architecture = $env:PROCESSOR_ARCHITEW6432
if (-not $architecture) { $architecture = $env:PROCESSOR_ARCHITECTURE }
$domain = $null
if ($computer.PartOfDomain) { $domain = [string] $computer.Domain }

$answer = [ordered] @{
    caption = [string] $os.Caption
    version = [string] $os.Version
    build = [int] $os.BuildNumber
    ubr = [int] $current.GetValue('UBR', 0)
    edition = [string] $current.GetValue('EditionID', '')
    display_version = [string] $current.GetValue('DisplayVersion', '')
    architecture = [string] $architecture
    hostname = [string] $computer.DNSHostName
    domain = $domain
    install_date = $os.InstallDate.ToUniversalTime().ToString('s') + 'Z'
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2
